-- The push app's own login: it can call two functions and nothing else. Let it log in, and give it
-- a password by psql's \password, which sends a hash: many servers log statements.
-- One statement, as `supabase db query` takes no more.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'push_app') then
        create role push_app nologin noinherit;
    end if;
    grant usage on schema public, dispatch to push_app;
    grant execute on function public.claim_pushes(integer), public.finish_pushes(jsonb) to push_app;
    grant execute on function
    dispatch.take_pushes(integer, interval, timestamptz), dispatch.record_answers(jsonb, timestamptz)
    to push_app;
    if not (select r.rolcanlogin from pg_catalog.pg_roles as r where r.rolname = 'push_app') then
        raise notice '%', 'push_app is there and cannot log in yet. Next, in psql: '
            'alter role push_app login; and \password push_app';
    end if;
end;
$$;
