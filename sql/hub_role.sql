-- The hub's own login: it can call four functions and nothing else. Let it log in, and give it a
-- password by psql's \password, which sends a hash: many servers log statements.
-- One statement, as `supabase db query` takes no more.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'hub_app') then
        create role hub_app nologin noinherit;
    end if;
    grant usage on schema dispatch to hub_app;
    grant execute on function
    dispatch.admit_listener(jsonb, text), dispatch.hear_events(bigint, integer),
    dispatch.hear_feed(uuid[]), dispatch.list_missed_events(jsonb, text, bigint, integer)
    to hub_app;
    begin
        -- Else the server's log has whole tokens' claims, names among them, where it logs what is slow.
        alter role hub_app set log_parameter_max_length = 0;
    exception
        when insufficient_privilege then
            null;  -- a superuser's to set (docs/threat-model.md)
    end;
    if not (select r.rolcanlogin from pg_catalog.pg_roles as r where r.rolname = 'hub_app') then
        raise notice '%', 'hub_app is there and cannot log in yet. Next, in psql: '
            'alter role hub_app login; and \password hub_app';
    end if;
end;
$$;
