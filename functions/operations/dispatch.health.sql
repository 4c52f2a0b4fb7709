-- Cheap enough to be asked each few seconds: every check reads an index from where it matters and
-- stops after 1000 rows.
create or replace function dispatch.health(
    p_now timestamptz default now(),
    p_max_bytes bigint default 10737418240
)
returns table (check_name text, ok boolean, detail text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_enough constant integer := 1000;
    v_many constant integer := 10000;
    v_grace constant interval := interval '5 seconds';
    v_has_cron boolean;
    v_name text;
    v_max_age interval;
    v_active boolean;
    v_began_at timestamptz;
    v_error text;
    v_sees_sessions constant boolean := pg_has_role('pg_read_all_stats', 'usage');
    v_session record;
begin
    v_has_cron := exists (select from pg_catalog.pg_extension where extname = 'pg_cron');
    for v_name, v_max_age in values ('sweep', interval '3 minutes'), ('retention', interval '26 hours')
    loop
        -- Its tables are named only where it is: in one database of a cluster.
        if v_has_cron then
            execute $q$
                select
                    bool_or(j.active) as is_active,
                    max(begun.start_time) as began_at,
                    max(ended.return_message) filter (where ended.status = 'failed') as error
                from cron.job as j
                left join lateral (
                    select d.start_time from cron.job_run_details as d
                    where d.jobid = j.jobid and d.start_time is not null
                    order by d.runid desc limit 1
                ) as begun on true
                left join lateral (
                    select d.status, coalesce(d.return_message, 'no message') as return_message
                    from cron.job_run_details as d
                    where d.jobid = j.jobid and d.status in ('succeeded', 'failed')
                    order by d.runid desc limit 1
                ) as ended on true
                where j.jobname = $1 and j.database = current_database()
            $q$ into v_active, v_began_at, v_error using 'dispatch-' || v_name;
        end if;

        check_name := v_name || '_scheduled';
        ok := v_has_cron and coalesce(v_active, false);
        detail := case
            when not v_has_cron then 'pg_cron is not in this database'
            else
                case when ok then 'job' else 'no active job' end || ' dispatch-' || v_name
        end;
        return next;

        check_name := v_name || '_runs';
        ok := v_has_cron
        and v_error is null
        -- Retention is daily: on the first day it has not run yet.
        and coalesce(v_began_at > p_now - v_max_age, v_name = 'retention');
        detail := case
            when not v_has_cron then 'pg_cron is not in this database'
            else
                coalesce('last run began at ' || v_began_at, 'has not run yet')
                || coalesce('; the last that ended failed: ' || v_error, '')
        end;
        return next;
    end loop;

    -- At half the transactions stop notifying (dispatch.record_event), at nine tenths the sweep.
    check_name := 'notify_queue';
    ok := pg_notification_queue_usage() <= 0.5 and not pg_is_in_recovery();
    detail := case
        when pg_is_in_recovery() then 'a standby sends no notices: ask the primary'
        else
            round(pg_notification_queue_usage()::numeric * 100) || ' % full; that a notice '
            'arrives is shown by listening only'
    end;
    return next;

    -- A listener that stops reading does this: its server process waits for it inside a
    -- transaction, and is "idle" and younger than its snapshot to look at. So both are asked: how
    -- long ago, and how many transactions.
    select
        a.pid,
        a.wait_event,
        coalesce(nullif(a.application_name, ''), a.backend_type) as who,
        age(a.backend_xmin) as transactions,
        -- A standby's snapshot, which a replication session reports, has no beginning here.
        age(a.backend_xmin) > v_many
        and coalesce(a.xact_start < p_now - interval '5 minutes', true) as is_old
    into v_session
    from pg_catalog.pg_stat_activity as a
    where
        a.backend_xmin is not null and a.backend_type <> 'autovacuum worker'
        and coalesce(a.datname, current_database()) = current_database()
    order by is_old desc, age(a.backend_xmin) desc
    limit 1;
    check_name := 'snapshots_recent';
    ok := v_sees_sessions and not coalesce(v_session.is_old, false);
    detail := case
        when not v_sees_sessions
            then 'other sessions are not shown to ' || current_user || ': grant it pg_read_all_stats'
        when ok then 'none is older than 5 minutes and ' || v_many || ' transactions'
        else
            'session ' || v_session.pid || ' (' || v_session.who || ') keeps vacuum from removing '
            || 'the dead rows of the last ' || v_session.transactions || ' transactions'
            || case v_session.wait_event
                when 'ClientWrite' then ': its client does not read what it is sent' else ''
            end
    end;
    return next;

    return query
    select
        c.name,
        c.found = 0,
        c.found || case when c.found = v_enough then ' or more ' else ' ' end || c.what
        || coalesce(c.since, '')
    from (
        select
            'windows_announced',
            'requests not broadcast 5 s after their window',
            count(*),
            ', the oldest ended at ' || min(w.ends_at)
        from dispatch.pending_windows(p_now - v_grace, v_enough) as w
        union all
        select
            'windows_on_time',
            'windows announced more than 5 s late in the last 15 minutes',
            count(*),
            ', at worst by ' || max(w.lateness)
        from (
            select e.delivered_at - (e.payload ->> 'window_ends_at')::timestamptz as lateness
            from dispatch.request_events as e
            where
                e.id >= greatest(
                    dispatch.first_event_id_since(p_now - interval '15 minutes'),
                    (select max(last.id) from dispatch.request_events as last) - 10 * v_enough
                )
                and e.created_at between p_now - interval '15 minutes' and p_now
                and e.event = 'new_request' and e.payload ->> 'reason' = 'window_ended'
                and e.delivered_at - (e.payload ->> 'window_ends_at')::timestamptz > v_grace
            limit v_enough
        ) as w
        union all
        select
            'events_delivered',
            'events undelivered for more than 5 s',
            count(*),
            ', the oldest of ' || min(u.created_at)
        from (
            select e.created_at from dispatch.request_events as e
            where e.delivered_at is null and e.created_at < p_now - v_grace
            order by e.delivered_at, e.id
            limit v_enough
        ) as u
        union all
        select
            'requests_accepted',
            'requests that nobody accepted 15 minutes after the broadcast',
            count(*),
            ', the oldest of ' || min(u.created_at)
        from (
            select r.created_at from dispatch.requests as r
            where
                r.is_pending and r.created_at < p_now - interval '15 minutes'
                and r.announced_at < p_now - interval '15 minutes'
            order by r.created_at
            limit v_enough
        ) as u
    ) as c (name, what, found, since);

    return query select * from dispatch.payment_checks(p_now, v_enough);

    return query
    select
        t.name,
        pg_total_relation_size(t.relation) <= p_max_bytes,
        pg_size_pretty(pg_total_relation_size(t.relation)) || ' on disk, '
        || pg_size_pretty(p_max_bytes) || ' allowed'
    from (
        values
        ('event_log_size', 'dispatch.request_events'::regclass),
        ('stripe_ledger_size', 'dispatch.stripe_events')
    ) as t (name, relation);
end;
$$;

comment on function dispatch.health(timestamptz, bigint) is
'One row for each check: name, whether it is well, and what was found. p_max_bytes is what the '
'event log may take on disk with its indexes, and as much the Stripe ledger. What to do about '
'each: docs/runbook.md.';
revoke all on function dispatch.health(timestamptz, bigint)
from public, anon, authenticated, service_role;
