-- The reference binding governs every request: not those of a marketplace that was there first.
\ir asking.sql
do $$
begin
    if
        obj_description(to_regclass('public.session_requests'), 'pg_class')
        like 'Reference marketplace: %' is not true
    then
        raise object_not_in_prerequisite_state using
            message = case
                when to_regclass('public.session_requests') is null
                    then 'there is no marketplace here, and nothing was changed'
                else 'a marketplace was here first, and nothing was changed'
            end,
            hint = 'Write its binding and look it over: psql "$DATABASE_URL" -X -q -f '
            'sql/discover.sql > binding.sql. Then: psql "$DATABASE_URL" -X -v '
            'binding="$PWD/binding.sql" -f sql/engine/up.sql (or: make adopt). For those who have '
            'none there is sql/marketplace/up.sql.';
    end if;
end;
$$;
\ir making.sql
