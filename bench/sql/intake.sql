\set n random(1, 2000000000)
\set customer random(1001, 11000)
\set mechanic random(1, 1000)
select public.process_stripe_event(format(
    '{"id": "evt_%1$s", "type": "checkout.session.completed", "data": {"object": '
    '{"id": "cs_%1$s", "payment_status": "paid", "payment_intent": "pi_%1$s", '
    '"customer_details": {"name": "Ada", "email": "ada@example.com"}, "metadata": '
    '{"customer_id": "00000000-0000-4000-8000-%2$s", "plan_code": "quick-chat", '
    '"session_type": "chat", "routing_type": "priority_broadcast", '
    '"preferred_mechanic_id": "00000000-0000-4000-8000-%3$s", '
    '"priority_window_minutes": "10"}}}}',
    :client_id || '_' || :n, lpad(:customer::text, 12, '0'), lpad(:mechanic::text, 12, '0')
)::jsonb);
