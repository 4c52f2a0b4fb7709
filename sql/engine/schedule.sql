-- Two pg_cron jobs. The sweep, once a minute: pg_cron 1.4 knows no seconds, so it stays for a whole
-- minute and acts on time. Retention, once a day. pg_cron lives in one database of a
-- cluster only: elsewhere the install goes on with a warning, and somebody must run the jobs'
-- commands instead.
do $$
declare
    -- Not a procedure: PostgreSQL forbids COMMIT in one with a search_path of its own, and
    -- Supabase's advisors warn of one without.
    v_sweep constant text := $command$
do $loop$
declare
    -- From one minute's middle to the next one's. At the change of minutes pg_cron may be a second
    -- late; the run that came due there while this one went on it starts as soon as this one ends.
    v_until constant timestamptz := date_trunc('minute', clock_timestamp()) + interval '90 seconds';
    v_sweep_at timestamptz := '-infinity';
    v_presence_at timestamptz := '-infinity';
    v_next timestamptz;
begin
    loop
        select r.sweep_at, r.next_round into v_sweep_at, v_next
        from dispatch.sweep_round(v_sweep_at) as r;
        commit;
        if now() >= v_presence_at then
            if dispatch.mark_silent_mechanics_offline(1000) < 1000 then
                v_presence_at := now() + interval '15 seconds';
            end if;
            commit;
        end if;
        exit when v_next >= v_until;
        perform pg_sleep_until(v_next);
        commit;
    end loop;
end
$loop$
$command$;
    -- Each batch commits, so that no lock is held for long. The ages are changed in the job.
    v_retention constant text := $command$
do $loop$
begin
    while
        dispatch.prune_events('90 days')
        + dispatch.prune_stripe_events('180 days')
        + dispatch.prune_windows('90 days')
        + dispatch.prune_cron_runs('7 days') > 0
    loop
        commit;
    end loop;
end
$loop$
$command$;
begin
    if
        not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and current_setting('cron.database_name', true) = current_database()
    then
        create extension pg_cron with schema pg_catalog;
        -- So that down.sql takes it out again.
        comment on sequence dispatch.last_delivery is
        'When notices were last sent, in milliseconds since 1970. up.sql made the extension pg_cron.';
    end if;

    if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
        raise warning 'pg_cron is not in database %: nothing is announced by itself',
            current_database()
            using hint = 'Create the extension pg_cron here and run the engine''s up.sql again, '
            'or have something else begin this each minute, though the last run goes on for half of '
            'it:' || v_sweep
            || 'and this once a day:' || v_retention;
        return;
    end if;

    -- The same name again replaces the job.
    perform cron.schedule('dispatch-sweep', '* * * * *', v_sweep);

    -- This one is left as it is: its ages and its hour are the owner's.
    if
        not exists (
            select from cron.job as j
            where
                j.jobname = 'dispatch-retention' and j.database = current_database()
                and j.username = current_user
        )
    then
        perform cron.schedule('dispatch-retention', '17 3 * * *', v_retention);
    end if;
end;
$$;
