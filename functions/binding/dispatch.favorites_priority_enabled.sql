-- Off until the feature's setter replaces it, which then stays as it was turned.
do $flag$
begin
    if to_regprocedure('dispatch.set_favorites_priority(boolean)') is null then
        create or replace function dispatch.favorites_priority_enabled()
        returns boolean
        language plpgsql
        immutable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return false;
        end;
        $$;
    end if;
end;
$flag$;

comment on function dispatch.favorites_priority_enabled() is
'The flag ENABLE_FAVORITES_PRIORITY. Turned by dispatch.set_favorites_priority(boolean).';
revoke all on function dispatch.favorites_priority_enabled()
from public, anon, authenticated, service_role;
