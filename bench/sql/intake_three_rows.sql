-- The least that keeps what intake keeps: in one statement, and so one round trip and one commit,
-- the request's row as in intake_bare.sql, one narrow row for the log and one for the ledger, whose
-- keys are their only indexes.
\set n random(1, 2000000000)
\set customer random(1001, 11000)
\set mechanic random(1, 1000)
with request as (
    insert into bench.session_requests (
        customer_id, session_type, plan_code, status, customer_name, customer_email, metadata,
        preferred_mechanic_id, priority_window_minutes, priority_notified_at
    )
    values (
        ('00000000-0000-4000-8000-' || lpad(:customer::text, 12, '0'))::uuid,
        'chat', 'quick-chat', 'pending', 'Ada', 'ada@example.com',
        jsonb_build_object(
            'stripe_checkout_session_id', 'cs_' || :client_id || '_' || :n,
            'stripe_payment_intent', 'pi_' || :client_id || '_' || :n
        ),
        ('00000000-0000-4000-8000-' || lpad(:mechanic::text, 12, '0'))::uuid,
        10, now()
    )
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing
    returning id
),

log as (
    insert into bench.log (request_id, event)
    select id, 'priority_request' from request
)

insert into bench.ledger (id, type)
values ('evt_' || :client_id || '_' || :n, 'checkout.session.completed')
on conflict (id) do nothing;
