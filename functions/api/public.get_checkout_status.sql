create or replace function public.get_checkout_status(checkout_session_id text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.checkout_status(checkout_session_id);
end;
$$;

comment on function public.get_checkout_status(text) is
'What became of the caller''s Stripe Checkout Session: booked, waiting_for_payment (a bank takes '
'days), payment_failed, error (paid, and it could not be booked: the owner sees it), or removed '
'(booked, and the request was deleted: said once the nightly job has seen it, as health is). Paid '
'in another mode or account than dispatch.expect_stripe says it is error, or in test mode '
'payment_failed. Null: nothing was heard of it yet, or it is not theirs. Raises PT401 '
'not_signed_in.';
revoke all on function public.get_checkout_status(text)
from public, anon, authenticated, service_role;
grant execute on function public.get_checkout_status(text) to authenticated;
