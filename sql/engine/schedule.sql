-- Three pg_cron jobs. The sweep, once a minute: pg_cron 1.4 knows no seconds, so it stays for a
-- whole minute and acts on time. The same when pg_cron itself starts, after a restart, a crash or a
-- failover: it would begin the first at the next full minute only. Retention, once a day. pg_cron
-- lives in one database of a cluster only: elsewhere the install goes on with a warning, and
-- somebody must run the jobs' commands instead.
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
            perform dispatch.follow_sessions();
            commit;
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
        + dispatch.prune_pushes('30 days')
        + dispatch.prune_cron_runs('7 days') > 0
    loop
        commit;
    end loop;
end
$loop$
$command$;
    v_job record;
begin
    if
        not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        -- Not current_setting(), which raises where the setting is not shown.
        and current_database() = (
            select s.setting from pg_catalog.pg_settings as s where s.name = 'cron.database_name'
        )
    then
        begin
            create extension pg_cron with schema pg_catalog;
            -- So that down.sql takes it out again.
            comment on sequence dispatch.last_delivery is
            'When notices were last sent, in milliseconds since 1970. up.sql made the extension '
            'pg_cron.';
        exception
            -- Then it is as where it cannot be.
            when insufficient_privilege then null;
        end;
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

    if
        (
            select count(*) from cron.job as j
            where
                j.jobname in ('dispatch-sweep', 'dispatch-retention')
                and j.database = current_database()
                and j.username = current_user and j.nodeport = current_setting('port')::integer
        ) < 2
    then
        perform pg_catalog.setval(
            'dispatch.scheduled_at', (date_part('epoch', clock_timestamp()) * 1000)::bigint
        );
    end if;
    -- pg_cron connects to where the job was made, which a restored or renamed database has left behind.
    -- (The same name made again would keep that.) The owner's hour and ages go along.
    for v_job in
        select j.jobid, j.jobname, j.schedule, j.command, j.active from cron.job as j
        where
            -- The last is sql/push_cron.sql's.
            j.jobname in (
                'dispatch-sweep', 'dispatch-start', 'dispatch-retention', 'dispatch-push'
            )
            and j.username = current_user
            and case
                when j.database = current_database()
                    then j.nodeport <> current_setting('port')::integer
                else not exists (
                    select from pg_catalog.pg_database as d where d.datname = j.database
                )
            end
    loop
        perform cron.unschedule(v_job.jobid);
        perform cron.alter_job(
            cron.schedule(v_job.jobname, v_job.schedule, v_job.command), active := v_job.active
        );
    end loop;

    -- The same name again replaces the job.
    perform cron.schedule('dispatch-sweep', '* * * * *', v_sweep);
    perform cron.schedule('dispatch-start', '@reboot', v_sweep);

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

    if dispatch.cron_waits_for_each_job() then
        raise notice 'cron.use_background_workers is on: any job that takes long holds up the sweep'
            using hint = 'Before 1.5 pg_cron waits for each job''s background worker. Upgrade it, '
            'or set cron.use_background_workers = off and let it connect (docs/runbook.md).';
    end if;
end;
$$;
