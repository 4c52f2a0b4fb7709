-- The webhook app's own login: it can call one function and nothing else. Let it log in, and give
-- it a password by psql's \password, which sends a hash: many servers log statements.
-- One statement, as `supabase db query` takes no more.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'webhook_app') then
        create role webhook_app nologin noinherit;
    end if;
    grant usage on schema public, dispatch to webhook_app;
    grant execute on function public.process_stripe_event(jsonb) to webhook_app;
    grant execute on function dispatch.process_stripe_event(jsonb) to webhook_app;
    begin
        -- Else the server's log has whole events, names among them, where it logs what is slow.
        alter role webhook_app set log_parameter_max_length = 0;
    exception
        when insufficient_privilege then
            null;  -- a superuser's to set (docs/threat-model.md)
    end;
    if not (select r.rolcanlogin from pg_catalog.pg_roles as r where r.rolname = 'webhook_app') then
        raise notice '%', 'webhook_app is there and cannot log in yet. Next, in psql: '
            'alter role webhook_app login; and \password webhook_app';
    end if;
end;
$$;
