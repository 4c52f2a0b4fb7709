\set n random(1, 2000000000)
insert into bench.session_requests (
    customer_id, session_type, plan_code, status, customer_name, customer_email, metadata,
    notification_sent_at, expires_at
)
values (
    '00000000-0000-4000-8000-00000000000c', 'chat', 'quick-chat', 'pending', 'Ada', 'ada@example.com',
    jsonb_build_object(
        'stripe_checkout_session_id', 'cs_' || :client_id || '_' || :n,
        'stripe_payment_intent', 'pi_' || :client_id || '_' || :n
    ),
    now(), now() + interval '24 hours'
)
on conflict ((metadata ->> 'stripe_checkout_session_id'))
where (metadata ->> 'stripe_checkout_session_id') is not null
do nothing;
