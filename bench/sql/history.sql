-- :count requests that are over, with their events, so that plans are those of a system in use.
set session_replication_role = replica;
insert into public.session_requests (
    id, customer_id, session_type, plan_code, status, notification_sent_at, metadata
)
select
    bench.request_id(n),
    bench.user_id(1001 + n % 10000),
    'chat',
    'quick-chat',
    'completed',
    now(),
    jsonb_build_object('stripe_checkout_session_id', 'old_' || n, 'stripe_payment_intent', n::text)
from generate_series(1, :count) as n;
insert into bench.session_requests
select r.* from public.session_requests as r;
insert into dispatch.request_events (request_id, event, topics, payload, delivered_at)
select
    id, 'request_completed', array['customer:' || customer_id],
    jsonb_build_object('event', 'request_completed', 'request_id', id), now()
from public.session_requests;
insert into dispatch.stripe_events (id, type, payload, processed_at, outcome)
select
    'old_' || n, 'checkout.session.completed', '{"data": {"object": {}}}', now(), 'request_created'
from generate_series(1, :count) as n;
insert into bench.log (request_id, event)
select id, 'request_completed' from public.session_requests;
insert into bench.ledger (id, type)
select 'old_' || n, 'checkout.session.completed' from generate_series(1, :count) as n;
