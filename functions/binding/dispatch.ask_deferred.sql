create or replace function dispatch.ask_deferred()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
    v_names text := 'all';
begin
    -- What is asked here runs as the owner. A session may have tables with triggers of its own making,
    -- as temporary ones: then only what is the owner's is asked, or the marketplace's, whose triggers
    -- run as the owner anyway; and no name that another's table in that schema has too, as both would
    -- be asked. (By name, also where they are all: at REPEATABLE READ no query sees what another
    -- session has just made.)
    if not dispatch.governs_all() or pg_my_temp_schema() <> 0 then
        select string_agg(d.name, ', ') into v_names
        from (
            select pg_catalog.format('%I.%I', n.nspname, k.conname) as name
            from pg_catalog.pg_constraint as k
            inner join pg_catalog.pg_class as c on c.oid = k.conrelid
            inner join pg_catalog.pg_namespace as n on n.oid = k.connamespace
            where
                k.condeferrable and n.nspname !~ '^pg_temp_'
                and has_schema_privilege(n.oid, 'usage')
            group by n.nspname, k.conname
            having
                bool_and(
                    pg_get_userbyid(c.relowner) = current_user
                    or c.relowner in (
                        select t.relowner from pg_catalog.pg_class as t
                        where
                            t.oid in (
                                'public.session_requests'::regclass, 'public.mechanics'::regclass
                            )
                    )
                )
        ) as d;
        if v_names is null then
            return;
        end if;
    end if;
    if pg_trigger_depth() = 0 then
        execute 'set constraints ' || v_names || ' immediate';
        return;
    end if;
    -- Within a statement of theirs: for what comes after it they stay deferred.
    begin
        execute 'set constraints ' || v_names || ' immediate';
        raise sqlstate 'FP000';
    exception
        when sqlstate 'FP000' then null;
    end;
end;
$$;

comment on function dispatch.ask_deferred() is
'Asks now what the marketplace has checked at the commit (deferred constraints and triggers), so '
'that whoever wrote can catch what it raises. Its names are looked up as where it is written to.';
revoke all on function dispatch.ask_deferred() from public, anon, authenticated, service_role;
