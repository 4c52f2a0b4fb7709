-- Changes dispatch.stripe_events.
-- The ledger is not what keeps a payment from being booked twice once an event is gone from it: the
-- Checkout Session is unique on session_requests itself. Stripe repeats an event for 3 days.
create or replace function dispatch.prune_stripe_events(
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
declare
    v_count integer;
begin
    delete from dispatch.stripe_events as e
    where
        e.id = any(array(
            select old.id from dispatch.stripe_events as old
            where
                old.received_at < p_now - p_older_than
                and old.processed_at is not null
                -- A refund waits for its payment, which must then not be offered to anyone. One that
                -- has not come by now comes no more, unless it is here and in error.
                and not (
                    old.outcome in ('refunded', 'dispute_lost')
                    and (
                        exists (
                            select from dispatch.stripe_events as u
                            where
                                u.processed_at is null
                                and u.payload #>> '{data,object,payment_intent}'
                                = old.payload #>> '{data,object,payment_intent}'
                        )
                        -- Without it a payment that stays, or came after it, were not paid back any
                        -- more. (A request of ours knows that itself.)
                        or exists (
                            select from dispatch.stripe_events as b
                            where
                                b.outcome = 'request_created'
                                and (b.subject is not null or not dispatch.governs_all())
                                and b.payload #>> '{data,object,payment_intent}'
                                = old.payload #>> '{data,object,payment_intent}'
                        )
                    )
                )
                -- What somebody must look at stays until they did.
                and not exists (
                    select from dispatch.unsettled_requests(p_now, null) as s
                    where
                        s.request_id = old.request_id
                        or s.payment_intent = old.payload #>> '{data,object,payment_intent}'
                )
                and (old.subject is not null and old.error like 'price_difference:%') is not true
            order by old.received_at
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    -- Here, and not in the job's command, which is the owner's once it is there. First goes what may
    -- go: what is that old and left is kept for longer, and without what is personal.
    if (v_count >= p_limit) is not true then
        v_count := v_count + dispatch.scrub_stripe_events(p_older_than, p_limit, p_now);
    end if;
    return v_count;
end;
$$;

comment on function dispatch.prune_stripe_events(interval, integer, timestamptz) is
'Deletes up to p_limit Stripe events older than this at p_now, but none unprocessed, no refund '
'before its payment, and none of what is unsettled (dispatch.unsettled_requests) or paid with '
'another sum; and scrubs (dispatch.scrub_stripe_events). Returns how many of both.';
revoke all on function dispatch.prune_stripe_events(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
