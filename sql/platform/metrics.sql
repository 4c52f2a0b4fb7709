-- By day, from the event log alone.
create or replace view dispatch.metrics with (security_invoker = on) as
select
    date_trunc('day', e.created_at at time zone 'UTC')::date as day,
    count(*) filter (
        where e.event = 'priority_request'
        or (e.event = 'new_request' and (e.payload ->> 'is_fallback_broadcast')::boolean is false)
    ) as requests,
    count(*) filter (where e.event = 'priority_request') as priority_requests,
    count(*) filter (
        where e.event = 'request_accepted' and (e.payload ->> 'priority')::boolean
    ) as accepted_by_favourite,
    count(*) filter (
        where e.event = 'new_request' and (e.payload ->> 'is_fallback_broadcast')::boolean
    ) as fallbacks,
    count(*) filter (where e.event = 'priority_skipped') as skipped,
    count(*) filter (where e.event = 'request_accepted') as accepted,
    count(*) filter (where e.event = 'request_cancelled') as cancelled,
    percentile_cont(0.5) within group (
        order by extract(epoch from e.created_at - (e.payload ->> 'created_at')::timestamptz)
    ) filter (where e.event = 'request_accepted') as seconds_to_accept_p50,
    percentile_cont(0.95) within group (
        order by extract(epoch from e.created_at - (e.payload ->> 'created_at')::timestamptz)
    ) filter (where e.event = 'request_accepted') as seconds_to_accept_p95
from dispatch.request_events as e
group by 1;

comment on view dispatch.metrics is
'Requests, accepts by the favourite, fallbacks and times to accept, by UTC day.';
revoke all on dispatch.metrics from public, anon, authenticated, service_role;
