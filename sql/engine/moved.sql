-- What was installed on a table stays with it, by whatever name: nothing is made or taken off while
-- another table, or none, has the name. And it stays whose it is: what another role (a superuser)
-- made beside it, its functions could not use.
\ir may_look.sql
\ir asking.sql
do $$
declare
    v_moved text;
    v_owner text := (
        select pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace as n
        where
            n.nspname = 'dispatch'
            -- Somebody else's is told by requirements.sql.
            and to_regprocedure('dispatch.favorites_priority_enabled()') is not null
    );
begin
    if v_owner <> current_user then
        raise insufficient_privilege using
            message = format('the engine belongs to %s, and nothing was changed', v_owner),
            hint = format('Run this as that role: psql … -c "set role %I" -f …', v_owner);
    end if;
    select
        string_agg(
            format('%s is what public.%s was', m.relation::regclass, m.name), ', ' order by m.name
        )
    into v_moved
    from (
        select 'session_requests' as name, t.typrelid as relation
        from pg_catalog.pg_proc as p
        inner join pg_catalog.pg_type as t on t.oid = p.prorettype
        where p.pronamespace = to_regnamespace('dispatch') and p.proname = 'accept_request'
        union
        select 'mechanics', t.tgrelid
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        where
            p.pronamespace = to_regnamespace('dispatch') and p.proname = 'release_windows'
            and t.tgname = 'mechanics_release_windows'
    ) as m
    where m.relation is distinct from to_regclass('public.' || m.name);
    if v_moved is not null then
        raise object_not_in_prerequisite_state using
            message = format(
                'a table was renamed since the install, and nothing was changed: %s', v_moved
            ),
            hint = 'Give it its name and schema back; or drop it, if another took its place for good.';
    end if;
end;
$$;
\ir making.sql
