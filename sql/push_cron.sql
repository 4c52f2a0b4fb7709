-- Lets pg_cron call the Edge Function send-pushes while Web Push is due, by pg_net: on hosted
-- Supabase, where no push app can run (docs/push.md). Before it, two secrets in Vault: project_url
-- (https://<ref>.supabase.co) and send_pushes_key, a secret API key of the project (sb_secret_…).
-- To stop: select cron.unschedule('dispatch-push'). One statement, as `supabase db query` takes no
-- more.
do $$
declare
    v_missing text := pg_catalog.concat_ws(
        ', ',
        case when to_regclass('dispatch.pushes') is null then 'the engine (sql/engine/up.sql)' end,
        case when to_regprocedure('cron.schedule(text,text,text)') is null then 'pg_cron' end,
        case
            when to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null
                then 'pg_net'
        end,
        case when to_regclass('vault.decrypted_secrets') is null then 'supabase_vault' end
    );
    v_version integer[] := (
        select string_to_array(regexp_replace(e.extversion, '[^0-9.].*$', ''), '.')
        from pg_catalog.pg_extension as e
        where e.extname = 'pg_cron'
    );
begin
    if v_missing <> '' then
        raise exception 'not in this database: %', v_missing
            using hint = 'On Supabase: create extension (Dashboard, Database, Extensions). Elsewhere '
            'run the push app in place of this (docs/push.md).';
    end if;
    select string_agg(n.name, ', ' order by n.name) into v_missing
    from (values ('project_url'), ('send_pushes_key')) as n (name)
    where not exists (select from vault.decrypted_secrets as s where s.name = n.name);
    if v_missing <> '' then
        raise exception 'not in Vault: %', v_missing
            using hint = 'select vault.create_secret(''<value>'', ''<name>'');';
    end if;

    perform cron.schedule(
        'dispatch-push',
        -- pg_cron knows seconds from 1.5 on.
        case when v_version >= array[1, 5] then '5 seconds' else '* * * * *' end,
        $command$
select net.http_post(
    url := (
        select rtrim(s.decrypted_secret, '/')
        from vault.decrypted_secrets as s
        where s.name = 'project_url'
    ) || '/functions/v1/send-pushes',
    headers := jsonb_build_object(
        'Content-Type', 'application/json',
        'apikey', (
            select s.decrypted_secret from vault.decrypted_secrets as s
            where s.name = 'send_pushes_key'
        )
    ),
    timeout_milliseconds := 30000
)
where exists (select from dispatch.pushes as p where p.finished_at is null and p.due_at <= now())
$command$
    );
    raise notice '%', 'pg_cron calls send-pushes from now on, while something is due.';
end;
$$;
