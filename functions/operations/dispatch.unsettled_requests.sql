create or replace function dispatch.unsettled_requests(
    p_now timestamptz default now(),
    p_limit integer default 1000
)
returns table (
    reason text,
    since timestamptz,
    request_id uuid,
    payment_intent text,
    amount_total jsonb,
    currency text
)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return query
    with claims as (
        select e.* from dispatch.stripe_events as e
        where
            e.outcome in ('disputed', 'refund_failed') and e.subject is not null
            -- A part that was refunded again, and is. (Stripe sends the sum of all that were.)
            and not exists (
                select from dispatch.stripe_events as r
                where
                    e.outcome = 'refund_failed' and r.outcome = 'ignored'
                    and r.subject = e.subject and r.payload -> 'created' > e.payload -> 'created'
                    and r.payload #> '{data,object,amount_refunded}'
                    >= coalesce(
                        e.payload #> '{data,object,amount_refunded}',
                        e.payload #> '{data,object,amount}'
                    )
            )
    )

    (
        select
            case
                when exists (
                    select from dispatch.stripe_events as e
                    where
                        e.outcome = 'refund_failed' and e.subject is not null
                        and e.subject = p.payment_intent
                ) then 'refund_failed'
                when p.is_expired then 'expired'
                else 'cancelled'
            end,
            p.changed_at, p.request_id, p.payment_intent, p.amount_total, p.currency
        from dispatch.payments as p
        where
            (p.is_expired or p.is_cancelled) and p.payment_intent is not null
            and not p.is_refunded
        order by p.changed_at
        limit p_limit
    )
    union all
    (
        select
            case when m.id is null then 'mechanic_gone' else 'not_completed' end,
            p.changed_at, p.request_id, p.payment_intent, p.amount_total, p.currency
        from dispatch.payments as p
        left join dispatch.mechanics as m
            on p.mechanic_id = case when dispatch.assigns_user_id() then m.user_id else m.id end
        where
            p.is_accepted
            and (
                m.id is null
                -- On a marketplace that was there first, what comes after the accept is its own.
                or (dispatch.governs_all() and p.changed_at < p_now - interval '24 hours')
            )
        order by p.changed_at
        limit p_limit
    )
    union all
    (
        -- Refunded after the accept, and then not; disputed at any time.
        select
            e.outcome, min(e.received_at), p.request_id, p.payment_intent, p.amount_total,
            p.currency
        from claims as e
        inner join dispatch.payments as p on p.payment_intent = e.subject
        where e.outcome = 'disputed' or not (p.is_expired or p.is_cancelled or p.is_refunded)
        group by e.outcome, p.request_id, p.payment_intent, p.amount_total, p.currency
        order by 2
        limit p_limit
    )
    union all
    (
        -- Noted by dispatch.scrub_stripe_events: the request went with the account, or was deleted.
        select
            'request_gone', e.scrubbed_at, e.request_id,
            e.payload #>> '{data,object,payment_intent}',
            e.payload #> '{data,object,amount_total}',
            e.payload #>> '{data,object,currency}'
        from dispatch.stripe_events as e
        where
            e.outcome = 'request_created' and e.subject is not null
            and e.error like 'refund_due:%'
            -- (Their table may have been emptied, and filled again.)
            and not exists (select from public.session_requests as s where s.id = e.request_id)
            and not exists (
                select from dispatch.stripe_events as r
                where
                    r.outcome in ('refunded', 'dispute_lost') and r.subject is not null
                    and r.subject = (e.payload #>> '{data,object,payment_intent}')
            )
        order by e.received_at
        limit p_limit
    )
    union all
    (
        -- So is what is disputed, or failed to be paid back, of a request that went.
        select
            e.outcome, min(e.received_at), null::uuid, e.subject,
            (array_agg(e.payload #> '{data,object,amount}' order by e.received_at desc))[1],
            min(e.payload #>> '{data,object,currency}')
        from claims as e
        where
            e.error like 'customer_gone:%'
            and not exists (
                select from dispatch.payments as p where p.payment_intent = e.subject
            )
            and (
                e.outcome = 'disputed'
                or not exists (
                    select from dispatch.stripe_events as r
                    where r.outcome in ('refunded', 'dispute_lost') and r.subject = e.subject
                )
            )
        group by e.outcome, e.subject
        order by 2
        limit p_limit
    );
end;
$$;

comment on function dispatch.unsettled_requests(timestamptz, integer) is
'What somebody must look at, oldest first of each reason, p_limit of each kind. A refund is due: '
'expired, cancelled, refund_failed, request_gone. Nobody comes: mechanic_gone, not_completed (24 '
'hours after the accept). The customer''s bank asks: disputed. Amounts as Stripe has them.';
revoke all on function dispatch.unsettled_requests(timestamptz, integer)
from public, anon, authenticated, service_role;
