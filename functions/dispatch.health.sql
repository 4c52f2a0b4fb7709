create or replace function dispatch.health(p_now timestamptz default now())
returns table (check_name text, ok boolean, detail text)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
    v_has_cron boolean;
    v_active boolean;
    v_last_run timestamptz;
    v_count bigint;
    v_oldest timestamptz;
begin
    v_has_cron := exists (select from pg_catalog.pg_extension where extname = 'pg_cron');
    -- pg_cron is in one database of a cluster: its tables are named only where it is.
    if v_has_cron then
        execute $q$
            select coalesce(bool_or(j.active), false), max(d.start_time)
            from cron.job as j
            left join cron.job_run_details as d
                on d.jobid = j.jobid and d.status in ('running', 'succeeded')
            where j.jobname = 'dispatch-sweep'
        $q$ into v_active, v_last_run;
    end if;
    check_name := 'sweep_scheduled';
    ok := coalesce(v_active, false);
    detail := case
        when not v_has_cron then 'pg_cron is not in this database'
        when not v_active then 'no active job dispatch-sweep; see sql/platform/schedule.sql'
        else 'job dispatch-sweep is active'
    end;
    return next;

    check_name := 'sweep_runs';
    ok := coalesce(v_last_run > p_now - interval '3 minutes', false);
    detail := coalesce('last run began at ' || v_last_run, 'never ran');
    return next;

    select count(*), min(w.ends_at) into v_count, v_oldest
    from dispatch.pending_windows(p_now - interval '5 seconds', 1000) as w;
    check_name := 'windows_announced';
    ok := v_count = 0;
    detail := v_count || ' requests not broadcast 5 s after their window'
    || coalesce(', the oldest ended at ' || v_oldest, '');
    return next;

    select count(*), min(e.created_at) into v_count, v_oldest
    from dispatch.request_events as e
    where e.delivered_at is null and e.created_at < p_now - interval '5 seconds';
    check_name := 'events_delivered';
    ok := v_count = 0;
    detail := v_count || ' events undelivered for more than 5 s'
    || coalesce(', the oldest of ' || v_oldest, '');
    return next;

    select count(*), min(e.received_at) into v_count, v_oldest
    from dispatch.stripe_events as e where e.processed_at is null;
    check_name := 'stripe_events_processed';
    ok := v_count = 0;
    detail := v_count || ' Stripe events in error'
    || coalesce(', the oldest of ' || v_oldest || '; see dispatch.stripe_events.error', '');
    return next;

    select count(*) into v_count
    from public.session_requests as r
    where
        r.status = 'pending' and r.notification_sent_at < p_now - interval '15 minutes';
    check_name := 'requests_accepted';
    ok := v_count = 0;
    detail := v_count || ' requests that nobody accepted 15 minutes after the broadcast';
    return next;

    select count(*) into v_count
    from public.session_requests as r
    where
        r.status = 'expired' and (r.metadata ->> 'stripe_payment_intent') is not null
        and not r.metadata ? 'refunded_at';
    check_name := 'refunds_due';
    ok := v_count = 0;
    detail := v_count || ' paid requests expired without a mechanic: refund them';
    return next;
end;
$$;

comment on function dispatch.health(timestamptz) is
'One row for each check: name, whether it is well, and what was found.';
revoke all on function dispatch.health(timestamptz)
from public, anon, authenticated, service_role;
