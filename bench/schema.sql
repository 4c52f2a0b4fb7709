-- What the benchmarks compare with: the same row in a bare table with the same columns, indexes,
-- checks and foreign keys, and no triggers.
create schema bench;
create table bench.session_requests (
    like public.session_requests including all,
    foreign key (customer_id) references auth.users (id),
    foreign key (mechanic_id) references auth.users (id),
    foreign key (preferred_mechanic_id) references public.mechanics (id)
);
create sequence bench.turn start with 1000001;
create sequence bench.bare_turn start with 1000001;

create function bench.request_id(p_n bigint) returns uuid
language sql immutable
as $$ select ('00000000-0000-4000-9000-' || lpad(to_hex(p_n), 12, '0'))::uuid $$;

-- 10,000 customers and 1,000 mechanics.
insert into auth.users (id, email)
select
    ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
    n || '@example.com'
from generate_series(1, 11000) as n;
insert into public.mechanics (id, display_name, status)
select
    ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
    'Mechanic ' || n,
    'approved'
from generate_series(1, 1000) as n;

grant usage on schema bench to authenticated;
grant usage on all sequences in schema bench to authenticated;

-- Some history, so that plans are those of a system in use.
alter table public.session_requests disable trigger user;
insert into public.session_requests (
    id, customer_id, session_type, plan_code, status, notification_sent_at, metadata
)
select
    bench.request_id(n),
    ('00000000-0000-4000-8000-' || lpad((1001 + n % 10000)::text, 12, '0'))::uuid,
    'chat',
    'quick-chat',
    'completed',
    now(),
    jsonb_build_object('stripe_checkout_session_id', 'old_' || n, 'stripe_payment_intent', n::text)
from generate_series(1, 100000) as n;
alter table public.session_requests enable trigger user;
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
from generate_series(1, 100000) as n;
vacuum analyze;
