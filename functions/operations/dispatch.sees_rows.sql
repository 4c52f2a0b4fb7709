-- Supabase's table of accounts has row level security and no policy, and a marketplace may have its
-- own forced. To a role that is not exempt, as one that was made anew for a restore, all is gone.
create or replace function dispatch.sees_rows(p_relation regclass)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return not row_security_active(p_relation)
    -- A policy of its own shows it what there is, or one of its groups' or everyone's all.
    or exists (
        select from pg_catalog.pg_policy as p
        cross join unnest(p.polroles) as g (oid)
        where
            p.polrelid = p_relation and p.polpermissive and p.polcmd in ('r', '*')
            and case
                when g.oid = to_regrole(quote_ident(current_user)) then true
                when pg_get_expr(p.polqual, p.polrelid) = 'true'
                    then g.oid = 0 or pg_has_role(g.oid, 'usage')
            end
    );
end;
$$;

comment on function dispatch.sees_rows(regclass) is
'Whether the rows of this table are shown to who asks: else nobody knows which are gone.';
revoke all on function dispatch.sees_rows(regclass) from public, anon, authenticated, service_role;
