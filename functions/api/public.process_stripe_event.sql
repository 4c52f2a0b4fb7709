create or replace function public.process_stripe_event(event jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.process_stripe_event(event);
end;
$$;

comment on function public.process_stripe_event(jsonb) is
'Takes a verified Stripe event; the same again is harmless. Returns {"outcome", "request_id", '
'"created"}; outcome: request_created, duplicate, waiting_for_payment, payment_failed, refunded, '
'refund_failed, disputed, dispute_won, dispute_lost, dispute_lost_in_part, ignored, or error '
'(kept in dispatch.stripe_events: answer 500, so that Stripe sends it again). Raises PT422 '
'invalid_event.';
revoke all on function public.process_stripe_event(jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.process_stripe_event(jsonb) to service_role;
