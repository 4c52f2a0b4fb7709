-- Changes public.session_requests.
create or replace function dispatch.cancel_refunded(p_payment_intent text)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
#variable_conflict use_variable
declare
    v_request_ids uuid[];
begin
    -- One that was accepted meanwhile stays: the work is being done, and people must talk.
    if not dispatch.governs_all() then
        v_request_ids := array(
            select p.request_id from dispatch.payments as p
            where p.payment_intent = p_payment_intent
        );
        -- Locked, so that whoever is giving it back is waited for: it is pending again then.
        perform from public.session_requests as r
        where r.id = any(v_request_ids)
        for no key update;
        -- By itself, not in "with", where PostgreSQL refuses a table of theirs that has a rule.
        update public.session_requests as r
        set status = 'cancelled'
        where r.id = any(v_request_ids) and r.status = 'pending';
        if found then
            return (
                select r.id from public.session_requests as r
                where r.id = any(v_request_ids) and r.status = 'cancelled'
                limit 1
            );
        elsif not dispatch.favorites_priority_enabled() then
            return null;
        end if;
        -- Of those with a window it is told, and once: their row does not say that it was refunded.
        v_request_ids := array(
            select r.id from dispatch.requests as r
            where
                r.id = any(v_request_ids) and not r.is_pending
                and not exists (
                    select from dispatch.request_events as e
                    where
                        e.topics[1] = 'customer:' || r.customer_id::text
                        and e.request_id = r.id and e.event = 'request_refunded'
                )
        );
    else
        with refunded as (
            update public.session_requests as r
            set
                status = case r.status when 'pending' then 'cancelled' else r.status end,
                metadata = r.metadata || pg_catalog.jsonb_build_object('refunded_at', now())
            where
                (r.metadata ->> 'stripe_payment_intent') = p_payment_intent
                and not r.metadata ? 'refunded_at'
            returning r.id, r.status
        )

        select pg_catalog.array_agg(f.id order by f.status = 'cancelled' desc) into v_request_ids
        from refunded as f;
    end if;
    -- So the two are told. It is no cancellation: the mechanic may still complete it.
    perform dispatch.record_event(
        r.id, r.session_type, r.plan_code, r.created_at, 'request_refunded',
        pg_catalog.array_remove(
            array['customer:' || r.customer_id::text, 'mechanic:' || r.mechanic_user_id::text],
            null
        )
    )
    from dispatch.requests as r
    where
        -- (Theirs have words of their own for what was accepted.)
        r.id = any(v_request_ids) and not r.is_pending and r.status not in ('cancelled', 'expired');
    return v_request_ids[1];
end;
$$;

comment on function dispatch.cancel_refunded(text) is
'Cancels the pending request of a fully refunded payment; marks any other as refunded. Returns its '
'id; null: there is none (yet), and the ledger keeps the refund for a payment that comes later.';
revoke all on function dispatch.cancel_refunded(text)
from public, anon, authenticated, service_role;
