-- Supabase's table has row level security and no policy. To a role that lost its exemption, as one
-- that was made anew for a restore, everybody is gone. (With a policy it shows somebody.)
create or replace function dispatch.sees_accounts()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return not row_security_active('auth.users')
    or exists (
        select from pg_catalog.pg_policy as p where p.polrelid = 'auth.users'::regclass
    );
end;
$$;

comment on function dispatch.sees_accounts() is
'Whether the rows of auth.users are shown to who asks: else nobody knows whose account is gone.';
revoke all on function dispatch.sees_accounts() from public, anon, authenticated, service_role;
