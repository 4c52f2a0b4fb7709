create or replace function dispatch.list_payments(p_request_ids uuid[])
returns table (request_id uuid, status text, amount_total jsonb, currency text)
language plpgsql
stable
-- definer: clients cannot read payments; the caller sees their own only
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer_id uuid := dispatch.require_user();
begin
    return query
    select
        p.request_id,
        case
            when p.is_refunded then 'refunded'
            -- With a coupon for all of it there is nothing to pay back.
            when (p.is_cancelled or p.is_expired) and p.payment_intent is not null
                then 'refund_due'
            else 'paid'
        end,
        p.amount_total,
        p.currency
    from dispatch.payments as p
    where
        p.request_id = any(p_request_ids) and p.customer_id = v_customer_id
        and p.checkout_session_id is not null;
end;
$$;

comment on function dispatch.list_payments(uuid[]) is
'Behind public.list_session_request_payments.';
revoke all on function dispatch.list_payments(uuid[])
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_payments(uuid[]) to authenticated;
