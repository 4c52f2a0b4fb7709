create or replace function public.list_session_request_payments(request_ids uuid[])
returns table (request_id uuid, status text, amount_total jsonb, currency text)
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select p.request_id, p.status, p.amount_total, p.currency
    from dispatch.list_payments(request_ids) as p;
$$;

comment on function public.list_session_request_payments(uuid[]) is
'What was paid for those of these requests that are the caller''s and were paid through Stripe: '
'paid, refund_due (closed, and not paid back yet) or refunded; the amount in the currency''s '
'smallest unit. Raises PT401 not_signed_in.';
revoke all on function public.list_session_request_payments(uuid[])
from public, anon, authenticated, service_role;
grant execute on function public.list_session_request_payments(uuid[]) to authenticated;
