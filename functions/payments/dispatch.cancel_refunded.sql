-- Changes public.session_requests.
create or replace function dispatch.cancel_refunded(p_payment_intent text)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request_id uuid;
begin
    -- One that was accepted meanwhile stays: the work is being done, and people must talk.
    if not dispatch.governs_all() then
        with refunded as (
            update public.session_requests as r
            set status = 'cancelled'
            where
                r.id = any(array(
                    select p.request_id from dispatch.payments as p
                    where p.payment_intent = p_payment_intent
                ))
                and r.status = 'pending'
            returning r.id
        )

        select f.id into v_request_id from refunded as f limit 1;
        return v_request_id;
    end if;

    -- One that expired is marked, so that dispatch.health() asks for no second refund.
    with refunded as (
        update public.session_requests as r
        set
            status = case r.status when 'pending' then 'cancelled' else r.status end,
            metadata = r.metadata || jsonb_build_object('refunded_at', now())
        where
            (r.metadata ->> 'stripe_payment_intent') = p_payment_intent
            and r.status in ('pending', 'expired')
        returning r.id, r.status
    )

    select f.id into v_request_id from refunded as f order by f.status = 'cancelled' desc limit 1;
    return v_request_id;
end;
$$;

comment on function dispatch.cancel_refunded(text) is
'Cancels the pending request of a fully refunded payment. Returns its id; null: there is none '
'(yet), and the ledger keeps the refund for a payment that comes later.';
revoke all on function dispatch.cancel_refunded(text)
from public, anon, authenticated, service_role;
