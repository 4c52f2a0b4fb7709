-- By day, from the event log alone. A day is read only when it is asked for: a condition on day
-- spares the others. With its owner's rights, for whom sql/monitor_role.sql lets ask.
create or replace view dispatch.metrics as
with days as (
    select
        u.today - n.ago as day,
        (u.today - n.ago)::timestamp at time zone 'UTC' as begins_at,
        (u.today - n.ago + 1)::timestamp at time zone 'UTC' as ends_at
    from (select (now() at time zone 'UTC')::date as today) as u
    cross join generate_series(0, 29) as n (ago)
)

select
    d.day,
    m.requests_total,
    m.priority_requests_total,
    m.favourite_accepts_total,
    m.fallbacks_total,
    m.skipped_total,
    m.accepts_total,
    m.cancelled_total,
    m.expired_total,
    m.favourite_accepts_total::double precision
    / nullif(m.priority_requests_total, 0) as favourite_acceptance_ratio,
    m.fallbacks_total::double precision
    / nullif(m.priority_requests_total, 0) as fallback_ratio,
    m.accept_seconds[1] as accept_p50_seconds,
    m.accept_seconds[2] as accept_p95_seconds,
    m.sweep_lateness_seconds[1] as sweep_lateness_p50_seconds,
    m.sweep_lateness_seconds[2] as sweep_lateness_p95_seconds,
    m.sweep_lateness_seconds[3] as sweep_lateness_max_seconds,
    p.pushes_sent_total,
    p.pushes_failed_total
from days as d
cross join
    lateral (
        select
            count(*) filter (
                where (
                    e.event = 'priority_request'
                    and coalesce(e.payload ->> 'reason', 'invalid_window') = 'invalid_window'
                )
                or (
                    e.event = 'new_request'
                    and not (e.payload ->> 'is_fallback_broadcast')::boolean
                    -- On a marketplace that was there first (whose notices have a word of its own,
                    -- too) each begins with a window: this one is back again.
                    and not e.payload ? 'isFallbackBroadcast'
                    -- One that was given back is none that was made.
                    and not exists (
                        select from dispatch.exclusions as x
                        where
                            x.request_id = e.request_id and x.event = 'request_released'
                            and x.created_at <= e.created_at
                    )
                )
            ) as requests_total,
            count(*) filter (
                where e.event = 'priority_request'
                -- Not of a favourite who was asked after another.
                and coalesce(e.payload ->> 'reason', 'invalid_window') = 'invalid_window'
            ) as priority_requests_total,
            count(*) filter (
                where e.event = 'request_accepted' and (e.payload ->> 'priority')::boolean
            ) as favourite_accepts_total,
            count(*) filter (
                where e.event = 'new_request' and (e.payload ->> 'is_fallback_broadcast')::boolean
            ) as fallbacks_total,
            count(*) filter (where e.event = 'priority_skipped') as skipped_total,
            count(*) filter (where e.event = 'request_accepted') as accepts_total,
            count(*) filter (
                where e.event = 'request_cancelled' and e.payload ->> 'reason' <> 'expired'
            ) as cancelled_total,
            count(*) filter (
                where e.event = 'request_cancelled' and e.payload ->> 'reason' = 'expired'
            ) as expired_total,
            percentile_cont(array[0.5, 0.95]) within group (
                order by
                    extract(epoch from e.created_at - (e.payload ->> 'created_at')::timestamptz)
            ) filter (
                where e.event = 'request_accepted'
                and isfinite((e.payload ->> 'created_at')::timestamptz)
            ) as accept_seconds,
            percentile_cont(array[0.5, 0.95, 1]) within group (
                order by extract(
                    epoch from e.delivered_at - (e.payload ->> 'window_ends_at')::timestamptz
                )
            ) filter (
                where e.event = 'new_request' and e.payload ->> 'reason' = 'window_ended'
                and isfinite(e.delivered_at)
                and isfinite((e.payload ->> 'window_ends_at')::timestamptz)
            ) as sweep_lateness_seconds
        from dispatch.request_events as e
        where
            e.created_at >= d.begins_at and e.created_at < d.ends_at
            -- An hour for transactions that took long.
            and e.id >= dispatch.first_event_id_since(d.begins_at - interval '1 hour')
            and e.id < dispatch.first_event_id_since(d.ends_at + interval '1 hour')
    ) as m
cross join
    lateral (
        select
            count(*) filter (where p.outcome = 'sent') as pushes_sent_total,
            count(*) filter (
                where p.outcome in ('gone', 'refused', 'given_up')
            ) as pushes_failed_total
        from dispatch.pushes as p
        where p.finished_at >= d.begins_at and p.finished_at < d.ends_at
    ) as p;

comment on view dispatch.metrics is
'The last 30 UTC days, from the event log: what happened on each, wherever it began. Ask for the '
'days you need: where day >= ...';
comment on column dispatch.metrics.day is 'UTC day.';
comment on column dispatch.metrics.requests_total is 'Count: requests that were made.';
comment on column dispatch.metrics.priority_requests_total is
'Count: requests that were told to a favourite first.';
comment on column dispatch.metrics.favourite_accepts_total is
'Count: accepts by the favourite inside the window.';
comment on column dispatch.metrics.fallbacks_total is 'Count: requests broadcast after a window.';
comment on column dispatch.metrics.skipped_total is
'Count: favourites that were asked for and could not be had.';
comment on column dispatch.metrics.accepts_total is 'Count: accepts, by anyone.';
comment on column dispatch.metrics.cancelled_total is 'Count: requests cancelled or refunded.';
comment on column dispatch.metrics.expired_total is
'Count: requests that nobody accepted in time.';
comment on column dispatch.metrics.favourite_acceptance_ratio is
'Ratio, 0 to 1: favourite_accepts_total / priority_requests_total; null: none.';
comment on column dispatch.metrics.fallback_ratio is
'Ratio, 0 to 1: fallbacks_total / priority_requests_total; null: none.';
comment on column dispatch.metrics.accept_p50_seconds is 'Seconds from request to accept, median.';
comment on column dispatch.metrics.accept_p95_seconds is
'Seconds from request to accept, 95th percentile.';
comment on column dispatch.metrics.sweep_lateness_p50_seconds is
'Seconds from the end of a window to its announcement, median.';
comment on column dispatch.metrics.sweep_lateness_p95_seconds is
'Seconds from the end of a window to its announcement, 95th percentile.';
comment on column dispatch.metrics.sweep_lateness_max_seconds is
'Seconds from the end of a window to its announcement, the most.';
comment on column dispatch.metrics.pushes_sent_total is
'Count: Web Push that a push service took.';
comment on column dispatch.metrics.pushes_failed_total is
'Count: Web Push for a device that is gone, refused, or never answered.';
revoke all on dispatch.metrics from public, anon, authenticated, service_role;

do $$ begin perform dispatch.note_views(); end; $$;
