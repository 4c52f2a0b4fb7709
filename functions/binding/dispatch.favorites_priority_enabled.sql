-- Off until the feature's setter replaces it, which then stays as it was turned; off again if what
-- stands there is no flag.
do $flag$
begin
    if
        to_regprocedure('dispatch.set_favorites_priority(boolean)') is null
        or not exists (
            select from pg_catalog.pg_proc as p
            where
                p.oid = to_regprocedure('dispatch.favorites_priority_enabled()')
                and p.prosrc ~ '^\s*begin\s+return (true|false);\s+end;\s*$'
        )
    then
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
    alter function dispatch.favorites_priority_enabled()
    immutable called on null input security invoker set search_path = pg_catalog, pg_temp;
end;
$flag$;

comment on function dispatch.favorites_priority_enabled() is
'The flag ENABLE_FAVORITES_PRIORITY. Turned by dispatch.set_favorites_priority(boolean).';
do $$
begin
    -- As dispatch.is_reserved_for_another: the feature's policy asks both.
    if not exists (
        select from pg_catalog.pg_policy
        where
            polrelid = to_regclass('public.session_requests')
            and polname = 'dispatch_reserved'
    ) then
        revoke all on function dispatch.favorites_priority_enabled()
        from public, anon, authenticated, service_role;
    end if;
end;
$$;
