-- A name in a schema that one may not use is not "not there": looking it up fails. So this is told
-- before anything is looked for.
do $$
declare
    v_closed text;
begin
    select string_agg(pg_catalog.format('grant usage on schema %s to %I', n.nspname, current_user), '; ')
    into v_closed
    from pg_catalog.pg_namespace as n
    where
        n.nspname in ('auth', 'dispatch', 'public')
        and not pg_catalog.has_schema_privilege(n.oid, 'usage');
    if v_closed is not null then
        raise insufficient_privilege using
            message = pg_catalog.format(
                '%I may not use what this looks into, and nothing was changed', current_user
            ),
            hint = v_closed;
    end if;
end;
$$;
