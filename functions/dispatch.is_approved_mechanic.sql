create or replace function dispatch.is_approved_mechanic(p_user_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from public.mechanics where id = p_user_id and status = 'approved'
    );
end;
$$;

comment on function dispatch.is_approved_mechanic(uuid) is
'Whether this user is a mechanic who may be told of requests. A null status is pending.';
revoke all on function dispatch.is_approved_mechanic(uuid)
from public, anon, authenticated, service_role;
