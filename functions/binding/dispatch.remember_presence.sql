-- Changes dispatch.presence.
create or replace function dispatch.remember_presence()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- For dispatch.set_away, which waits for nobody. (A first row can be locked by nothing else.)
    perform pg_advisory_xact_lock(hashtextextended('presence of ' || old.id, 1178687058));
    insert into dispatch.presence (mechanic_id, is_online, last_seen_at)
    values (old.id, new.is_online, coalesce(new.last_seen_at, '-infinity'))
    on conflict (mechanic_id) do update
    set is_online = excluded.is_online, last_seen_at = excluded.last_seen_at;
    return new;
end;
$$;

comment on function dispatch.remember_presence() is
'Trigger on dispatch.mechanics, where the marketplace''s own columns are not the place for '
'presence: keeps what a mechanic said.';
revoke all on function dispatch.remember_presence() from public, anon, authenticated, service_role;
