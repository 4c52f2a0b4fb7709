\set n random(1, 2000000000)
select public.process_stripe_event(format(
    '{"id": "evt_%1$s", "type": "checkout.session.completed", "data": {"object": '
    '{"id": "cs_%1$s", "payment_status": "paid", "payment_intent": "pi_%1$s", '
    '"customer_details": {"name": "Ada", "email": "ada@example.com"}, "metadata": '
    '{"customer_id": "00000000-0000-4000-8000-00000000000c", "plan_code": "quick-chat", '
    '"session_type": "chat", "routing_type": "priority_broadcast", '
    '"preferred_mechanic_id": "00000000-0000-4000-8000-00000000000a", '
    '"priority_window_minutes": "10"}}}}', :client_id || '_' || :n
)::jsonb);
