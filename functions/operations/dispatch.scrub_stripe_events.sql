-- Changes dispatch.stripe_events. No trigger on auth.users, which is the platform's: whoever is
-- gone is found by their id, which stays. An event without it (a refund) names the same payment. So
-- is a request that a writer deleted.
create or replace function dispatch.scrub_stripe_events(
    p_older_than interval,
    p_limit integer default 1000,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_sees_accounts constant boolean := dispatch.sees_rows('auth.users');
    v_sees_requests constant boolean := dispatch.sees_rows('public.session_requests');
    v_count integer;
begin
    with checkouts as (
        select
            e.payload #> '{data,object}' as session,
            dispatch.checkout_customer(e.payload #> '{data,object}') as customer_id,
            e.outcome = 'request_created' as is_booked,
            e.outcome = 'request_created'
            and not exists (select from public.session_requests as r where r.id = e.request_id)
            -- Who does not see it does not know that it is gone.
            and v_sees_requests as is_deleted
        from dispatch.stripe_events as e
        where e.type like 'checkout.session.%'
    ),

    gone as (
        select r.id, c.is_booked and r.id = c.session ->> 'payment_intent' as is_paid
        from checkouts as c
        left join auth.users as u on u.id = c.customer_id
        cross join
            unnest(
                array[
                    c.session ->> 'id',
                    c.session ->> 'payment_intent',
                    -- Stripe writes the id of a customer, or all that it has of them.
                    case
                        when u.id is null and v_sees_accounts
                            then coalesce(c.session #>> '{customer,id}', c.session ->> 'customer')
                    end
                ]
            ) as r (id)
        where
            (c.customer_id is not null and u.id is null and v_sees_accounts or c.is_deleted)
            and r.id is not null
    ),

    found as (
        select
            e.id,
            d.is_refund_due,
            -- Whoever paid for it is told (dispatch.checkout_status), whatever had become of it.
            e.outcome = 'request_created' and v_sees_requests
            and not exists (
                select from public.session_requests as r where r.id = e.request_id
            ) as is_removed,
            e.outcome in ('disputed', 'refund_failed')
            and e.subject in (select g.id from gone as g where g.is_paid) as is_unsettled
        from dispatch.stripe_events as e
        cross join lateral (
            select
                e.outcome = 'request_created'
                and e.payload #>> '{data,object,payment_intent}' is not null
                and not exists (select from public.session_requests as r where r.id = e.request_id)
                -- The log says what became of a request that is gone.
                and coalesce(
                    (
                        select
                            not bool_or(v.event = 'request_completed')
                            -- What comes after an accept is theirs alone.
                            and (
                                dispatch.governs_all()
                                or (array_agg(v.event order by v.id desc))[1] <> 'request_accepted'
                            )
                        from dispatch.request_events as v
                        where
                            v.topics[1]
                            = 'customer:' || dispatch.checkout_customer(e.payload #> '{data,object}')
                            and v.request_id = e.request_id
                    ),
                    false
                )
                and e.payload #>> '{data,object,id}' in (select g.id from gone as g) as is_refund_due
        ) as d
        where
            (
                e.scrubbed_at is null
                and (
                    e.payload #>> '{data,object,id}' in (select g.id from gone as g)
                    or e.payload #>> '{data,object,payment_intent}' in (select g.id from gone as g)
                    or coalesce(
                        e.payload #>> '{data,object,customer,id}',
                        e.payload #>> '{data,object,customer}'
                    ) in (select g.id from gone as g)
                    -- Kept for longer, as somebody paid; but not who.
                    or e.received_at < p_now - p_older_than
                )
            )
            -- Without what is personal since it was that old, and gone only now: what is still owed
            -- is to be noted, once.
            or (
                e.scrubbed_at is not null and e.outcome = 'request_created'
                and v_sees_requests
                and not exists (
                    select from public.session_requests as r where r.id = e.request_id
                )
                and (
                    e.subject is null
                    or (e.error like 'refund_due:%') is not true and d.is_refund_due
                )
            )
            or (
                e.scrubbed_at is not null and e.outcome in ('disputed', 'refund_failed')
                and e.subject in (select g.id from gone as g where g.is_paid)
                and (e.error like 'customer_gone:%') is not true
            )
        order by e.received_at
        limit p_limit
        for update of e skip locked
    )

    update dispatch.stripe_events as e
    set
        payload = dispatch.scrubbed_event(e.payload),
        scrubbed_at = p_now,
        subject = case
            when f.is_refund_due or f.is_removed then e.payload #>> '{data,object,id}'
            else e.subject
        end,
        error = case
            when f.is_refund_due
                then 'refund_due: paid, and the request is gone before it was completed'
            when f.is_unsettled then 'customer_gone: this is of a payment that was booked'
            -- What their trigger said may name somebody; and what a booking was to have beside it
            -- goes with the payload.
            else nullif(
                regexp_replace(
                    regexp_replace(e.error, '(; )?left_out: .*$', ''),
                    '^(refused by the marketplace: .{5}).*$', '\1'
                ),
                ''
            )
        end
    from found as f
    where e.id = f.id;
    get diagnostics v_count = row_count;
    -- A dispute that was lost after the request had gone may have been over a part: the rest is due.
    -- (Whoever has the payment's lock may wait for a row that was just written.)
    perform case
        when
            pg_try_advisory_xact_lock(
                hashtextextended(e.payload #>> '{data,object,payment_intent}', 1178687058)
            )
            then
                dispatch.weigh_disputes(
                    e.payload #>> '{data,object,payment_intent}',
                    e.payload #> '{data,object,amount_total}',
                    e.payload #>> '{data,object,currency}'
                )
    end
    from dispatch.stripe_events as e
    where
        e.outcome = 'request_created' and e.subject is not null
        and e.error like 'refund_due:%' and e.scrubbed_at = p_now;
    return v_count;
end;
$$;

comment on function dispatch.scrub_stripe_events(interval, integer, timestamptz) is
'Takes what is personal out of up to p_limit Stripe events of customers whose account is gone, of '
'requests that were deleted, and of those older than this at p_now. Ids and amounts stay. Returns '
'how many.';
revoke all on function dispatch.scrub_stripe_events(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
