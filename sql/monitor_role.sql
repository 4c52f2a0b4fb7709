-- An exporter's own login: it asks dispatch.health() and dispatch.metrics, sees what there is in
-- them, and nothing else. Let it log in, and give it a password by psql's \password.
-- One statement, as `supabase db query` takes no more.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'dispatch_monitor') then
        create role dispatch_monitor nologin noinherit;
    end if;
    grant usage on schema dispatch to dispatch_monitor;
    grant execute on function dispatch.health(timestamptz, bigint) to dispatch_monitor;
    grant select on dispatch.metrics to dispatch_monitor;
    -- What the view calls runs as who asks it.
    grant execute on function dispatch.first_event_id_since(timestamptz) to dispatch_monitor;
    if not (
        select r.rolcanlogin from pg_catalog.pg_roles as r where r.rolname = 'dispatch_monitor'
    ) then
        raise notice '%', 'dispatch_monitor is there and cannot log in yet. Next, in psql: '
            'alter role dispatch_monitor login; and \password dispatch_monitor';
    end if;
end;
$$;
