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
                    and exists (
                        select from dispatch.stripe_events as u
                        where
                            u.processed_at is null
                            and u.payload #>> '{data,object,payment_intent}'
                            = old.payload #>> '{data,object,payment_intent}'
                    )
                )
            order by old.received_at
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    -- Here, and not in the job's command, which is the owner's once it is there.
    return v_count + dispatch.scrub_stripe_events(p_older_than, p_limit, p_now);
end;
$$;

comment on function dispatch.prune_stripe_events(interval, integer, timestamptz) is
'Deletes up to p_limit Stripe events older than this at p_now, but none unprocessed and no refund '
'whose payment is; and scrubs (dispatch.scrub_stripe_events). Returns how many of both.';
revoke all on function dispatch.prune_stripe_events(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
