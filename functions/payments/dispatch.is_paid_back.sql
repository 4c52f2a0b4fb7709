-- Changes dispatch.stripe_events: of disputes it is noted there whether they were over all.
create or replace function dispatch.is_paid_back(p_payment_intent text, p_checkout jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- In any case: of a part alone it is to be noted also where a refund was over all, which may fail.
    v_is_disputed constant boolean := dispatch.weigh_disputes(
        p_payment_intent, p_checkout -> 'amount_total', p_checkout ->> 'currency'
    );
begin
    return v_is_disputed or exists (
        select from dispatch.stripe_events as e
        where e.outcome = 'refunded' and e.subject = p_payment_intent
    );
end;
$$;

comment on function dispatch.is_paid_back(text, jsonb) is
'Whether all that was paid by this Checkout Session went back to the customer before its event '
'came: by a full refund, or by disputes that were lost.';
revoke all on function dispatch.is_paid_back(text, jsonb)
from public, anon, authenticated, service_role;
