-- The part of dispatch.health() that is about payments.
create or replace function dispatch.payment_checks(
    p_now timestamptz default now(),
    p_enough integer default 1000
)
returns table (check_name text, ok boolean, detail text)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refused_at timestamptz;
begin
    return query
    with unsettled as materialized (
        select * from dispatch.unsettled_requests(p_now, p_enough)
    )

    select
        c.name,
        c.found = 0,
        case when c.found >= p_enough then p_enough || ' or more ' else c.found || ' ' end
        || c.what || coalesce(c.since, '')
    from (
        select
            'stripe_events_processed',
            'Stripe events in error',
            count(*),
            ', the oldest of ' || min(u.received_at) || '; see dispatch.stripe_events.error'
        from (
            select e.received_at from dispatch.stripe_events as e
            where e.processed_at is null
            order by e.received_at
            limit p_enough
        ) as u
        union all
        select
            'payments_as_priced',
            'sessions paid with another sum than the plan''s price',
            count(*),
            ', the oldest of ' || min(u.received_at) || '; see dispatch.stripe_events.error'
        from (
            select e.received_at from dispatch.stripe_events as e
            where
                e.outcome = 'request_created' and e.subject is not null
                and e.error like 'price_difference:%'
            order by e.received_at
            limit p_enough
        ) as u
        union all
        select
            'bookings_whole',
            'paid sessions booked without what a column of the marketplace refused',
            count(*),
            ', the oldest of ' || min(u.received_at) || '; see dispatch.stripe_events.error'
        from (
            select e.received_at from dispatch.stripe_events as e
            where
                e.outcome = 'request_created' and e.subject is not null
                and e.error like '%left_out: %'
            order by e.received_at
            limit p_enough
        ) as u
        union all
        select
            'live_payments_booked',
            'paid sessions of the last 1000 events not booked, as test mode or another account is '
            'expected',
            count(*),
            '; see dispatch.expect_stripe'
        from (
            select
                r.outcome,
                r.type,
                r.payload,
                bool_or(r.outcome = 'request_created') over () as is_any_booked
            from (
                select e.outcome, e.type, e.payload from dispatch.stripe_events as e
                where dispatch.expected_stripe_event() <> '{}'
                order by e.received_at desc
                limit 1000
            ) as r
        ) as e
        where
            e.outcome = 'ignored' and e.type like 'checkout.session.%'
            and (
                dispatch.expected_stripe_event() @> '{"livemode": false}'
                -- Where any is booked, those of another account are another's.
                or (
                    not e.is_any_booked
                    and e.payload ->> 'account' <> dispatch.expected_stripe_event() ->> 'account'
                )
            )
            and e.payload @> '{"livemode": true}'
            and e.payload #>> '{data,object,payment_status}' in ('paid', 'no_payment_required')
            and coalesce(e.payload #>> '{data,object,mode}', 'payment') = 'payment'
            and e.payload #> '{data,object,metadata}' ?| array['plan_code', 'customer_id']
        union all
        select
            w.name,
            w.what,
            count(u.reason),
            ', the oldest since ' || min(u.since) || '; see dispatch.unsettled_requests()'
        from (
            values
            (
                'refunds_due', 'paid requests whose refund is due',
                array['expired', 'cancelled', 'refund_failed', 'request_gone']
            ),
            (
                'requests_completed', 'requests accepted 24 hours ago and not completed',
                array['not_completed']
            ),
            (
                'requests_have_mechanic', 'accepted requests whose mechanic''s account is gone',
                array['mechanic_gone']
            ),
            ('payments_undisputed', 'paid requests that are disputed', array['disputed'])
        ) as w (name, what, reasons)
        left join unsettled as u on u.reason = any(w.reasons)
        group by w.name, w.what
    ) as c (name, what, found, since);

    check_name := 'marketplace_writes';
    v_refused_at := to_timestamp(pg_sequence_last_value('dispatch.last_refusal') / 1000.0);
    ok := not coalesce(v_refused_at > p_now - interval '24 hours', false);
    detail := coalesce(
        'the marketplace last refused what a caller wrote at ' || v_refused_at
        || '; the server''s log says why',
        'the marketplace has refused none of the callers'''
    );
    return next;
end;
$$;

comment on function dispatch.payment_checks(timestamptz, integer) is
'The rows of dispatch.health() that are about payments; counts stop at p_enough.';
revoke all on function dispatch.payment_checks(timestamptz, integer)
from public, anon, authenticated, service_role;
