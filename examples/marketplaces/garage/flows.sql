-- What this marketplace's backend (service_role) does, one statement after another, with what each
-- answers before the install ("expect"). With the flag off, and with it on for every request that
-- names no favourite, the answers and the rows must stay the same, ids and times aside. The people
-- and the plan come first.
insert into auth.users (id, email) values
('c1000000-0000-4000-8000-000000000001', 'carla@garage.example'),
('a1000000-0000-4000-8000-000000000001', 'frank@garage.example'),
('a1000000-0000-4000-8000-000000000002', 'mona@garage.example'),
('a1000000-0000-4000-8000-000000000003', 'wes@garage.example');
insert into public.mechanics (id, user_id, name, application_status, can_accept_sessions) values
(
    'b1000000-0000-4000-8000-000000000001', 'a1000000-0000-4000-8000-000000000001',
    'Frank', 'approved', true
),
(
    'b1000000-0000-4000-8000-000000000002', 'a1000000-0000-4000-8000-000000000002',
    'Mona', 'approved', true
),
(
    'b1000000-0000-4000-8000-000000000003', 'a1000000-0000-4000-8000-000000000003',
    'Wes', 'draft', false
);
insert into public.service_plans (slug, name, price, duration_minutes, description)
values ('chat10', 'Quick chat', 9.99, 30, 'A chat with a mechanic');

-- 1 Carla books. expect: pending, and 15 minutes to live
insert into public.session_requests (id, customer_id, session_type, plan_code, customer_name)
values (
    'd1000000-0000-4000-8000-000000000001', 'c1000000-0000-4000-8000-000000000001',
    'chat', 'chat10', 'Carla'
)
returning status, expires_at - created_at as lives_for;

-- 2 Mona accepts, by the route that only the first gets through. expect: one row, accepted
update public.session_requests
set mechanic_id = 'a1000000-0000-4000-8000-000000000002', status = 'accepted', accepted_at = now()
where
    id = 'd1000000-0000-4000-8000-000000000001' and status = 'pending' and mechanic_id is null
returning status;

-- 3 Mona gives it back. expect: one row, pending
update public.session_requests set mechanic_id = null, status = 'pending', accepted_at = null
where id = 'd1000000-0000-4000-8000-000000000001'
returning status;

-- 4 nobody came to the session. expect: one row, unattended
update public.session_requests set status = 'unattended'
where id = 'd1000000-0000-4000-8000-000000000001'
returning status;

-- 5 an admin gives it to Frank. expect: one row, accepted
update public.session_requests
set mechanic_id = 'a1000000-0000-4000-8000-000000000001', status = 'accepted', accepted_at = now()
where id = 'd1000000-0000-4000-8000-000000000001'
returning status;

-- 6 the session ends, whatever the status was (cancelled, too). expect: one row, completed
update public.session_requests set status = 'completed'
where id = 'd1000000-0000-4000-8000-000000000001'
returning status;

-- Two more of Carla's, for the next.
insert into public.session_requests (customer_id, session_type, status) values
('c1000000-0000-4000-8000-000000000001', 'chat', 'pending'),
('c1000000-0000-4000-8000-000000000001', 'chat', 'unattended');

-- 7 the clean-up after no-shows. expect: two rows, cancelled
update public.session_requests set status = 'cancelled'
where
    customer_id = 'c1000000-0000-4000-8000-000000000001'
    and status in ('pending', 'accepted', 'unattended')
returning status;

-- 8 its expiry, of a request that is due. expect: 1 and one id, to whose customer an e-mail goes
insert into public.session_requests (customer_id, session_type, plan_code, created_at)
values (
    'c1000000-0000-4000-8000-000000000001', 'video', 'chat10', now() - interval '20 minutes'
);
select expired_count, cardinality(ids) as ids from public.expire_old_session_requests();

-- 9 a request for one workshop. expect: workshop_only, and nobody else is told
insert into public.session_requests (
    customer_id, session_type, preferred_workshop_id, routing_type
)
values ('c1000000-0000-4000-8000-000000000001', 'chat', gen_random_uuid(), 'workshop_only')
returning routing_type;

-- 10 a session type that only this marketplace knows. expect: virtual
insert into public.session_requests (customer_id, session_type, plan_code)
values ('c1000000-0000-4000-8000-000000000001', 'virtual', 'chat10')
returning session_type;

-- 11 with the feature installed and its flag on: a favourite is booked again. expect: Frank alone
-- may take it for ten minutes, then everyone; it lives on after its broadcast for as long as a
-- request without a favourite lives after its booking
insert into public.session_requests (
    customer_id, session_type, plan_code,
    preferred_mechanic_id, priority_window_minutes, priority_notified_at
)
values (
    'c1000000-0000-4000-8000-000000000001', 'chat', 'chat10',
    'b1000000-0000-4000-8000-000000000001', 10, now()
)
returning id;
