-- Only for a database that has no other marketplace: one that was there first is adopted as it is.
\ir ../engine/asking.sql
do $$
declare
    v_theirs text;
begin
    select string_agg(c.oid::regclass::text, ', ' order by c.relname) into v_theirs
    from pg_catalog.pg_class as c
    where
        c.relnamespace = 'public'::regnamespace
        and c.relname in ('mechanics', 'customer_favorites', 'service_plans', 'session_requests')
        and coalesce(obj_description(c.oid, 'pg_class'), '') not like 'Reference marketplace: %';
    if v_theirs is not null then
        raise object_not_in_prerequisite_state using
            message = format('a marketplace was here first, and nothing was changed: %s', v_theirs),
            hint = 'Leave this layer out. sql/discover.sql writes the binding for that marketplace, '
            'and sql/engine/up.sql takes it; or run: make adopt';
    end if;
end;
$$;
\ir ../engine/making.sql
