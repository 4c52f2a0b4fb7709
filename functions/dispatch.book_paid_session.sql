-- Changes public.session_requests.
create or replace function dispatch.book_paid_session(
    p_checkout jsonb,
    out outcome text,
    out request_id uuid,
    out error text
)
returns record
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_checkout_id text := p_checkout ->> 'id';
    v_payment_intent text := p_checkout ->> 'payment_intent';
    v_metadata jsonb := case jsonb_typeof(p_checkout -> 'metadata')
        when 'object' then p_checkout -> 'metadata' else '{}'
    end;
    v_customer jsonb := p_checkout -> 'customer_details';
    v_customer_id uuid := coalesce(
        dispatch.to_uuid(v_metadata ->> 'customer_id'),
        dispatch.to_uuid(p_checkout ->> 'client_reference_id')
    );
    v_session_type public.session_type;
    v_has_customer boolean;
    v_refunded_at timestamptz;
begin
    -- One statement for all that must be known: each costs as much as a row.
    select
        (
            select p.session_type from public.service_plans as p
            where p.code = v_metadata ->> 'plan_code'
        ),
        exists (select from auth.users as u where u.id = v_customer_id),
        (
            select min(e.received_at) from dispatch.stripe_events as e
            where
                e.type = 'charge.refunded' and e.outcome = 'refunded'
                and e.payload #>> '{data,object,payment_intent}' = v_payment_intent
        ),
        (
            select r.id from public.session_requests as r
            where (r.metadata ->> 'stripe_checkout_session_id') = v_checkout_id
        )
    into v_session_type, v_has_customer, v_refunded_at, request_id;

    if request_id is not null then
        -- The other event of the same session came first.
        outcome := 'duplicate';
        return;
    elsif v_session_type is null then
        error := 'unknown_plan: metadata.plan_code ' || coalesce(
            quote_literal(left(v_metadata ->> 'plan_code', 100)), 'is missing'
        ) || '; add it to service_plans, then dispatch.replay_stripe_event(id)';
    elsif not v_has_customer then
        error := 'missing_customer: neither metadata.customer_id nor client_reference_id is the id '
        'of a user; mend the payload or refund, then dispatch.replay_stripe_event(id)';
    end if;
    if error is not null then
        outcome := 'error';
        return;
    end if;

    -- Refunded before it was booked: recorded, as cancelled, and never offered to anyone.
    insert into public.session_requests (
        customer_id, session_type, plan_code, status, customer_name, customer_email, notes,
        requested_brand, customer_country, customer_city, metadata
    )
    values (
        v_customer_id,
        v_session_type,
        v_metadata ->> 'plan_code',
        case when v_refunded_at is null then 'pending' else 'cancelled' end
        ::public.session_request_status,
        v_customer ->> 'name',
        v_customer ->> 'email',
        v_metadata ->> 'notes',
        v_metadata ->> 'requested_brand',
        coalesce(v_metadata ->> 'customer_country', v_customer #>> '{address,country}'),
        coalesce(v_metadata ->> 'customer_city', v_customer #>> '{address,city}'),
        -- The wish for a favourite goes along: dispatch.route_request reads it, whoever writes.
        jsonb_strip_nulls(jsonb_build_object(
            'stripe_checkout_session_id', v_checkout_id,
            'stripe_payment_intent', v_payment_intent,
            'refunded_at', v_refunded_at,
            'routing_type', v_metadata ->> 'routing_type',
            'preferred_mechanic_id', v_metadata ->> 'preferred_mechanic_id',
            'priority_window_minutes', v_metadata ->> 'priority_window_minutes',
            'skip_if_offline', v_metadata ->> 'skip_if_offline'
        ))
    )
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing
    returning id into request_id;

    outcome := 'request_created';
    if request_id is null then
        -- The other event of the same session was being processed at this very moment.
        request_id := dispatch.request_of_checkout(v_checkout_id);
        outcome := 'duplicate';
    end if;
end;
$$;

comment on function dispatch.book_paid_session(jsonb) is
'Makes the request of a paid Checkout Session, once. outcome: request_created, duplicate, or error '
'with what is wrong and what to do.';
revoke all on function dispatch.book_paid_session(jsonb)
from public, anon, authenticated, service_role;
