-- Changes public.session_requests.
-- The check that plan and customer exist is the insert's own source: one statement on the hot path.
-- What is wrong with a session that could not be booked is found out by dispatch.booking_error.
create or replace function dispatch.book_paid_session(p_checkout jsonb)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_metadata jsonb := p_checkout -> 'metadata';
    v_customer_id uuid := dispatch.customer_of(p_checkout);
    v_request_id uuid;
begin
    insert into public.session_requests (
        customer_id, session_type, plan_code, status, customer_name, customer_email, notes,
        requested_brand, customer_country, customer_city, metadata
    )
    select
        u.id,
        p.session_type,
        p.code,
        -- Refunded before it was booked: recorded, and never offered to anyone.
        case when r.refunded_at is null then 'pending' else 'cancelled' end
        ::public.session_request_status,
        p_checkout #>> '{customer_details,name}',
        p_checkout #>> '{customer_details,email}',
        v_metadata ->> 'notes',
        v_metadata ->> 'requested_brand',
        coalesce(
            v_metadata ->> 'customer_country', p_checkout #>> '{customer_details,address,country}'
        ),
        coalesce(
            v_metadata ->> 'customer_city', p_checkout #>> '{customer_details,address,city}'
        ),
        -- The wish for a favourite goes along: dispatch.route_request reads it, whoever writes.
        jsonb_strip_nulls(jsonb_build_object(
            'stripe_checkout_session_id', p_checkout ->> 'id',
            'stripe_payment_intent', p_checkout ->> 'payment_intent',
            'refunded_at', r.refunded_at,
            'routing_type', v_metadata ->> 'routing_type',
            'preferred_mechanic_id', v_metadata ->> 'preferred_mechanic_id',
            'priority_window_minutes', v_metadata ->> 'priority_window_minutes',
            'skip_if_offline', v_metadata ->> 'skip_if_offline'
        ))
    from public.service_plans as p
    cross join auth.users as u
    cross join lateral (
        select min(e.received_at) as refunded_at from dispatch.stripe_events as e
        where
            e.type = 'charge.refunded' and e.outcome = 'refunded'
            and e.payload #>> '{data,object,payment_intent}' = p_checkout ->> 'payment_intent'
    ) as r
    where p.code = v_metadata ->> 'plan_code' and u.id = v_customer_id
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing
    returning id into v_request_id;
    return v_request_id;
end;
$$;

comment on function dispatch.book_paid_session(jsonb) is
'Makes the request of a paid Checkout Session. Returns its id; null: there was one already, or '
'plan or customer are unknown.';
revoke all on function dispatch.book_paid_session(jsonb)
from public, anon, authenticated, service_role;
