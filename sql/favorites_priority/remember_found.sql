-- In a copy of the schema alone no row says what was the marketplace's own; up.sql left it in a
-- comment, too.
\ir ../engine/asking.sql
do $$
begin
    insert into dispatch.found_before (what)
    select
        unnest(
            substring(
                col_description('dispatch.found_before'::regclass, 1) from '\{.*\}$'
            )::text[]
        )
    where not exists (select from dispatch.found_before);
exception
    -- Not installed: confirm_down.sql says so.
    when undefined_table or invalid_schema_name then null;
end;
$$;
\ir ../engine/making.sql
