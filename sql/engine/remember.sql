-- What the marketplace has no column for is written through the views all the same, and remembered
-- by the engine. On a marketplace of ours the views can be updated as they are.
do $$
begin
    if not pg_catalog.pg_column_is_updatable(
            'dispatch.mechanics',
            (
                select a.attnum from pg_catalog.pg_attribute as a
                where a.attrelid = 'dispatch.mechanics'::regclass and a.attname = 'is_online'
            ),
            false
        ) then
        create or replace trigger mechanics_remember_presence
        instead of update on dispatch.mechanics
        for each row execute function dispatch.remember_presence();
    end if;
    if not dispatch.governs_all() then
        create or replace trigger requests_announce
        instead of update on dispatch.requests
        for each row execute function dispatch.announce_window();
    end if;
end;
$$;
