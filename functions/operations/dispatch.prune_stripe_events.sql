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
                -- A refund waits for its payment: that must then not be offered to anyone.
                and (
                    old.outcome is distinct from 'refunded'
                    or exists (
                        select from dispatch.payments as p
                        where p.payment_intent = old.payload #>> '{data,object,payment_intent}'
                    )
                )
            order by old.received_at
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function dispatch.prune_stripe_events(interval, integer, timestamptz) is
'Deletes up to p_limit Stripe events older than this at p_now, but none unprocessed and no refund '
'whose payment has not come. Returns how many.';
revoke all on function dispatch.prune_stripe_events(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
