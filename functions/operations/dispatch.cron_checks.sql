-- Part of dispatch.health(): whether pg_cron runs the two jobs, and what they may do. Its tables
-- are named only where it is: in one database of a cluster.
create or replace function dispatch.cron_checks(p_now timestamptz)
returns table (check_name text, ok boolean, detail text)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_absent text := 'pg_cron is not in this database';
    -- The sweep's run takes 90 seconds (sql/engine/schedule.sql).
    v_run_time constant interval := interval '90 seconds';
    v_is_there constant boolean := exists (
        select from pg_catalog.pg_extension where extname = 'pg_cron'
    );
    -- What it may not look at says nothing, and is no reason to say nothing of all else.
    v_is_closed constant boolean := v_is_there and not has_schema_privilege('cron', 'usage');
    v_has_cron boolean := v_is_there and not v_is_closed;
    v_keeps_runs boolean;
    v_lock_timeout constant text := current_setting('lock_timeout');
    -- pg_cron keeps the runs of every job, of anybody's, for ever: the newest are looked at.
    v_newest constant integer := 100000;
    v_hidden constant text := dispatch.why_sessions_are_hidden();
    -- What pg_cron does not do before the first full minute since then is no fault.
    v_since timestamptz := greatest(
        pg_postmaster_start_time(),
        to_timestamp(pg_sequence_last_value('dispatch.scheduled_at') / 1000.0)
    );
    v_launcher record;
    v_neighbour record;
    v_job record;
    v_sweep_is_active boolean := false;
    v_user text := current_user::text;
    v_cut text;
    v_isolation text;
    v_is_read_only boolean;
    v_stand_in text;
    v_asleep integer;
begin
    if v_is_closed then
        v_absent := format(
            'pg_cron''s jobs are not shown: grant usage on schema cron to %I', current_user
        );
    end if;
    -- Who has one of its tables (a `vacuum full` of the runs, which pg_cron never deletes) keeps it
    -- from beginning any job, and would keep whoever asks waiting.
    if v_has_cron then
        begin
            perform set_config('lock_timeout', '400ms', true);
            lock table cron.job, cron.job_run_details in access share mode;
            perform set_config('lock_timeout', v_lock_timeout, true);
        exception
            when insufficient_privilege then null;
            when lock_not_available then
                v_has_cron := false;
                select
                    format(
                        '%s has the whole of %s, and pg_cron begins no job until it ends',
                        coalesce('session ' || l.pid, 'a prepared transaction'),
                        l.relation::regclass
                    )
                into v_absent
                from pg_catalog.pg_locks as l
                where
                    l.relation in (
                        to_regclass('cron.job'), to_regclass('cron.job_run_details')
                    )
                    and l.mode = 'AccessExclusiveLock'
                    and l.database = (
                        select d.oid from pg_catalog.pg_database as d
                        where d.datname = current_database()
                    )
                order by l.granted desc
                limit 1;
                v_absent := coalesce(v_absent, 'some session had the whole of a table of pg_cron''s');
        end;
    end if;
    v_keeps_runs := v_has_cron and not exists (
        select from pg_catalog.pg_settings as s where s.name = 'cron.log_run' and s.setting = 'off'
    );
    select a.pid, a.backend_start, a.wait_event into v_launcher
    from pg_catalog.pg_stat_activity as a
    where a.backend_type = 'pg_cron launcher'
    order by a.backend_start desc
    limit 1;
    -- After a crash it begins anew, and the server does not.
    v_since := greatest(v_since, v_launcher.backend_start);

    -- Another scheduler may run the same commands, and pg_cron keep no runs. The sweep's is seen,
    -- nearly all of the time; the other takes a moment of each day (what it leaves is seen by
    -- event_log_size). Nor are there any where somebody has just emptied pg_cron's table. (What
    -- sessions do now says nothing of another time.)
    if not v_keeps_runs or p_now = now() then
        select
            format(
                'session %s (%s) runs the sweep',
                a.pid, coalesce(nullif(a.application_name, ''), a.usename)
            )
        into v_stand_in
        from pg_catalog.pg_stat_activity as a
        where
            a.datname = current_database() and a.state = 'active' and a.pid <> pg_backend_pid()
            and a.query ~ '\mdispatch\.sweep_round\('
        limit 1;
    end if;

    -- It sleeps until a time by the server's clock, and for longer if that was set back meanwhile.
    select a.pid into v_asleep
    from pg_catalog.pg_stat_activity as a
    where
        a.datname = current_database() and a.pid <> pg_backend_pid()
        and a.query ~ '\mdispatch\.sweep_round\('
        and a.xact_start > clock_timestamp() + interval '2 seconds'
    limit 1;

    for v_job in
        select w.name, w.max_age, w.command, null::boolean as is_active, 0::bigint as count, null::timestamptz as began_at,
            null::text as error, null::text as username, null::text as address,
            null::timestamptz as kept_since
        from (
            values
            ('sweep', interval '3 minutes', '%dispatch.sweep\_round(%'),
            ('retention', interval '26 hours', '%dispatch.prune\_events(%')
        ) as w (name, max_age, command)
    loop
        if v_has_cron then
            execute $q$
                select
                    bool_or(j.active and j.command like $3) as is_active,
                    count(*) filter (where j.active) as count,
                    max(begun.start_time) as began_at,
                    max(ended.return_message) as error,
                    max(j.username) as username,
                    max(j.nodename || ':' || j.nodeport) as address,
                    (
                        select n.start_time from cron.job_run_details as n
                        where n.runid > max(l.runid) and n.start_time is not null
                        order by n.runid limit 1
                    ) as kept_since
                from cron.job as j
                cross join (
                    select coalesce(max(n.runid), 0) - $4 as runid from cron.job_run_details as n
                ) as l
                left join lateral (
                    select d.start_time from cron.job_run_details as d
                    where d.jobid = j.jobid and d.start_time is not null and d.runid > l.runid
                    order by d.runid desc limit 1
                ) as begun on true
                left join lateral (
                    select
                        case
                            when d.status = 'failed' then coalesce(d.return_message, 'no message')
                        end as return_message
                    from cron.job_run_details as d
                    where
                        d.jobid = j.jobid and d.status in ('succeeded', 'failed')
                        and d.runid > l.runid
                        -- Ended with the server, or by somebody, not by a fault of its own.
                        and coalesce(d.return_message, '') !~ $2
                    order by d.runid desc limit 1
                ) as ended on true
                where j.jobname = $1 and j.database = current_database()
            $q$
            into
                v_job.is_active, v_job.count, v_job.began_at, v_job.error, v_job.username,
                v_job.address, v_job.kept_since
            using
                'dispatch-' || v_job.name,
                'server (restarted|closed the connection)'
                '|terminating (connection|background worker)|job canceled',
                v_job.command,
                v_newest;
        end if;
        if v_job.name = 'sweep' then
            v_sweep_is_active := coalesce(v_job.is_active, false);
            v_user := coalesce(v_job.username, v_user);
        end if;

        check_name := v_job.name || '_scheduled';
        ok := case
            when v_has_cron then coalesce(v_job.is_active, false)
            else v_stand_in is not null
        end;
        detail := case
            when not v_has_cron then v_absent || coalesce('; ' || v_stand_in, '')
            else
                case when ok then 'job' else 'no active job' end || ' dispatch-' || v_job.name
                || case
                    when v_job.count > 0 and not ok then ' that does its work: its command is another'
                    when v_job.count > 1
                        then ', ' || v_job.count || ' of them where one is enough'
                    else ''
                end
        end;
        return next;

        check_name := v_job.name || '_runs';
        ok := case
            when not v_keeps_runs
                then
                    v_stand_in is not null
                    or (v_has_cron and v_since > p_now - v_job.max_age)
            else
                v_job.error is null
                and (
                    coalesce(v_job.began_at > p_now - v_job.max_age, false)
                    or v_since > p_now - v_job.max_age
                    -- What ran before the first run that is kept is not known; of the sweep one is
                    -- seen.
                    or (
                        v_job.began_at is null
                        and case v_job.name
                            when 'sweep' then v_stand_in is not null
                            else coalesce(v_job.kept_since > p_now - v_job.max_age, true)
                        end
                    )
                )
        end;
        if v_job.name = 'sweep' then
            ok := ok and v_asleep is null;
        end if;
        detail := case
            when v_job.name = 'sweep' and v_asleep is not null
                then
                    'the clock was set back, and session ' || v_asleep || ' sleeps until it is '
                    'there again: select pg_terminate_backend(' || v_asleep || ')'
            when not v_has_cron then v_absent || coalesce('; ' || v_stand_in, '')
            when not v_keeps_runs
                then
                    'pg_cron keeps no runs (cron.log_run is off); '
                    || coalesce(v_stand_in, 'no session runs the sweep')
            else
                coalesce(
                    'last run began at ' || v_job.began_at,
                    'no run is kept; ' || case v_job.name when 'sweep' then v_stand_in end,
                    'has not run yet'
                )
                || coalesce('; the last that ended failed: ' || v_job.error, '')
                || case
                    when v_job.error ~ '^connection'
                        then
                            ' (to ' || v_job.address || coalesce(
                                (
                                    select ', and ' || r.rolname || ' may not log in'
                                    from pg_catalog.pg_roles as r
                                    where r.rolname = v_job.username and not r.rolcanlogin
                                ), ''
                            ) || ')'
                    else ''
                end
        end;
        return next;
    end loop;

    -- pg_cron begins nothing while it waits for a job, of anybody's, as before 1.5 with background
    -- workers; nor when all its slots are taken.
    select a.pid, a.query_start, left(regexp_replace(a.query, '\s+', ' ', 'g'), 60) as query
    into v_neighbour
    from pg_catalog.pg_stat_activity as a
    where
        v_sweep_is_active
        and (a.backend_type = 'pg_cron' or a.application_name = 'pg_cron')
        and a.state <> 'idle'
        and a.query_start < p_now - interval '1 minute'
        and a.query !~ '\mdispatch\.sweep_round\('
        and not exists (
            select from pg_catalog.pg_stat_activity as s
            where
                s.datname = current_database() and s.state <> 'idle'
                and s.pid <> pg_backend_pid() and s.query ~ '\mdispatch\.sweep_round\('
        )
    order by a.query_start
    limit 1;
    check_name := 'launcher_free';
    ok := not v_is_there
    or (
        v_has_cron and v_hidden is null and v_launcher.pid is not null
        and v_neighbour.pid is null
    );
    detail := case
        when not v_has_cron then v_absent
        when v_hidden is not null then v_hidden
        when pg_is_in_recovery() then 'a standby begins no job: ask the primary'
        when v_launcher.pid is null
            then 'pg_cron''s launcher is not there, and no job begins: restart the server'
        when v_neighbour.pid is not null
            then
                'the sweep does not begin while pg_cron waits for session ' || v_neighbour.pid
                || ', since ' || v_neighbour.query_start || ': ' || v_neighbour.query
        else 'session ' || v_launcher.pid || ', since ' || v_launcher.backend_start
    end
    || case
        when dispatch.cron_waits_for_each_job()
            then
                '; cron.use_background_workers is on: before pg_cron 1.5 any job that takes '
                'long holds up the sweep'
        else ''
    end;
    return next;

    select
        string_agg(
            format(
                '%s of %s is %s, and %s takes %s: alter role %I in database %I set %1$s = 0',
                c.setting, v_user, c.longest, c.what, c.needed, v_user, current_database()
            ),
            '; '
        )
    into v_cut
    from (
        select
            w.*,
            make_interval(
                secs => dispatch.job_setting(v_user, w.setting)::double precision / 1000
            ) as longest
        from (
            values
            ('statement_timeout', 'a run', v_run_time),
            ('transaction_timeout', 'a batch', interval '10 seconds')
        ) as w (setting, what, needed)
        -- PostgreSQL 15 and 16 know one of them.
        where exists (select from pg_catalog.pg_settings as s where s.name = w.setting)
    ) as c
    where c.longest > interval '0' and c.longest <= c.needed;
    check_name := 'sweep_uncut';
    ok := v_cut is null;
    detail := coalesce(v_cut, 'no timeout ends a run of ' || v_user);
    return next;

    -- As a platform sets it, say, whose disk is nearly full.
    check_name := 'sweep_may_write';
    v_isolation := dispatch.job_setting(v_user, 'default_transaction_isolation');
    v_is_read_only := dispatch.job_setting(v_user, 'default_transaction_read_only') = 'on';
    ok := not v_is_read_only and v_isolation in ('read committed', 'read uncommitted');
    detail := case
        when v_is_read_only
            then
                'default_transaction_read_only is on for ' || v_user || ', and nothing is announced '
                'or booked: see why, then set it off'
        when not ok
            then
                'default_transaction_isolation is ' || v_isolation || ' for ' || v_user || ': '
                'sweeps fail beside other writers, and where it is so for clients none catches up; '
                'set it back to ''read committed'''
        else v_user || ' begins transactions that may write'
    end;
    return next;
end;
$$;

comment on function dispatch.cron_checks(timestamptz) is
'Part of dispatch.health(): whether pg_cron runs this product''s jobs.';
revoke all on function dispatch.cron_checks(timestamptz)
from public, anon, authenticated, service_role;
