-- The webhook app's own login: it can call one function and nothing else. Give it a password
-- outside of version control: alter role webhook_app login password '…';
-- One statement, as `supabase db query` takes no more.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'webhook_app') then
        create role webhook_app nologin noinherit;
    end if;
    grant usage on schema public, dispatch to webhook_app;
    grant execute on function public.process_stripe_event(jsonb) to webhook_app;
    grant execute on function dispatch.process_stripe_event(jsonb) to webhook_app;
end;
$$;
