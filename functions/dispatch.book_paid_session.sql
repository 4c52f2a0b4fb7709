-- Changes public.session_requests.
-- The check that plan and customer exist is the insert's own source: one statement on the hot path.
-- What is wrong with a session that could not be booked is found out by dispatch.booking_error.
create or replace function dispatch.book_paid_session(p_checkout jsonb, p_customer_id uuid)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_metadata jsonb := p_checkout -> 'metadata';
    v_request record;
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
        case when r.id is null then 'pending' else 'cancelled' end::public.session_request_status,
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
        jsonb_strip_nulls(jsonb_build_object(
            'stripe_checkout_session_id', p_checkout -> 'id',
            'stripe_payment_intent', p_checkout -> 'payment_intent',
            'refunded_at', r.received_at,
            -- For dispatch.route_request, which finds the wish for a favourite there.
            'checkout', case when r.id is null then v_metadata end
        ))
    from public.service_plans as p
    cross join auth.users as u
    left join dispatch.stripe_events as r
        on
            r.type = 'charge.refunded' and r.outcome = 'refunded'
            and r.payload #>> '{data,object,payment_intent}' = p_checkout ->> 'payment_intent'
    where p.code = v_metadata ->> 'plan_code' and u.id = p_customer_id
    for key share of u  -- as the foreign key does: a deletion under way is waited for
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing
    returning id, status into v_request;

    if v_request.status = 'cancelled' then
        perform dispatch.record_event(
            r, 'request_cancelled', array['customer:' || p_customer_id], '{"reason": "refunded"}'
        )
        from public.session_requests as r
        where r.id = v_request.id;
    end if;
    return v_request.id;
end;
$$;

comment on function dispatch.book_paid_session(jsonb, uuid) is
'Makes the request of a paid Checkout Session. Returns its id; null: there was one already, or '
'plan or customer are unknown.';
revoke all on function dispatch.book_paid_session(jsonb, uuid)
from public, anon, authenticated, service_role;
