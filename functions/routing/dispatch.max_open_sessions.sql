-- No limit, until dispatch.set_max_open_sessions replaces it, which then stays as it was set; none
-- again if what stands there is no such setting. Immutable, as the flag is: what asks whether there
-- is a limit is folded into each plan, and costs nothing where there is none.
do $setting$
begin
    if not exists (
        select from pg_catalog.pg_proc as p
        where
            p.oid = to_regprocedure('dispatch.max_open_sessions()')
            and p.prosrc ~ '^\s*begin\s+return (null|[1-9][0-9]*);\s+end;\s*$'
    ) then
        create or replace function dispatch.max_open_sessions()
        returns integer
        language plpgsql
        immutable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return null;
        end;
        $$;
    end if;
    alter function dispatch.max_open_sessions()
    immutable called on null input security invoker set search_path = pg_catalog, pg_temp;
end;
$setting$;

comment on function dispatch.max_open_sessions() is
'How many accepted and not completed requests a mechanic may have; null: no limit. Set by '
'dispatch.set_max_open_sessions(integer).';
revoke all on function dispatch.max_open_sessions()
from public, anon, authenticated, service_role;
