-- Changes dispatch.stripe_events and public.session_requests. What the marketplace refuses leaves
-- the event in the ledger with the reason.
create or replace function dispatch.settle_payment(
    p_event jsonb,
    p_is_new boolean,
    inout outcome text,
    out request_id uuid,
    out error text
)
returns record
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_payment constant text := p_event #>> '{data,object,payment_intent}';
begin
    -- Of one tried again the ledger says "error" until now; it is read there what became of the
    -- payment.
    if not p_is_new then
        update dispatch.stripe_events as e
        set outcome = outcome, subject = v_payment
        where e.id = p_event ->> 'id';
    end if;
    outcome := dispatch.follow_payment(p_event, outcome);
    if
        outcome in ('refunded', 'dispute_lost')
        -- With it all that disputes had left; or with what another that failed had left of it.
        or (
            outcome in ('ignored', 'refund_failed')
            and exists (
                select from dispatch.stripe_events as e
                where e.outcome = 'dispute_lost' and e.subject = v_payment
            )
        )
    then
        request_id := dispatch.cancel_refunded(v_payment);
        if exists (
            select from dispatch.payments as p
            inner join public.session_requests as r on r.id = p.request_id
            where p.payment_intent = v_payment and r.status = 'pending'
        ) then
            error := dispatch.marketplace_error(null, null);
            outcome := 'error';
        end if;
    end if;
    perform dispatch.ask_deferred();
exception
    when query_canceled or assert_failure or others then
        error := dispatch.marketplace_error(sqlstate, sqlerrm);
        if error is null then
            raise;
        end if;
        outcome := 'error';
        request_id := null;
end;
$$;

comment on function dispatch.settle_payment(jsonb, boolean, text) is
'Does what a refund, a refund that failed, a dispute or its end means for its payment''s request. '
'The ledger has the event: with this outcome if it is new. Returns the outcome that it has now, '
'the request that changed (null: none) and, of outcome error, the reason.';
revoke all on function dispatch.settle_payment(jsonb, boolean, text)
from public, anon, authenticated, service_role;
