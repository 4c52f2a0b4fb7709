-- Half of the bookings ask for a favourite, for a minute.
\set n random(1, 2000000000)
\set customer random(1001, 11000)
\set mechanic random(1, 1000)
\set is_priority random(0, 1)
select public.process_stripe_event(jsonb_build_object(
    'id', 'evt_' || :client_id || '_' || :n,
    'type', 'checkout.session.completed',
    'data', jsonb_build_object('object', jsonb_build_object(
        'id', 'cs_' || :client_id || '_' || :n,
        'payment_status', 'paid',
        'payment_intent', 'pi_' || :client_id || '_' || :n,
        'customer_details', '{"name": "Ada", "email": "ada@example.com"}'::jsonb,
        'metadata', jsonb_strip_nulls(jsonb_build_object(
            'customer_id', bench.user_id(:customer),
            'plan_code', 'quick-chat',
            'routing_type', case
                when :is_priority::integer = 1 then 'priority_broadcast' else 'broadcast'
            end,
            'preferred_mechanic_id', case
                when :is_priority::integer = 1 then bench.user_id(:mechanic)
            end,
            'priority_window_minutes', '1'
        ))
    ))
));
