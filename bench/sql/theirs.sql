-- The garage, with requests to accept.
insert into auth.users (id, email) values
('c0000000-0000-4000-8000-000000000001', 'carla@example.com'),
('a0000000-0000-4000-8000-000000000001', 'frank@example.com');
insert into public.mechanics (user_id, name, application_status)
values ('a0000000-0000-4000-8000-000000000001', 'Frank', 'approved');
insert into public.session_requests (id, customer_id, session_type)
select
    ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
    'c0000000-0000-4000-8000-000000000001',
    'chat'
from generate_series(1, 2000) as n;
create sequence theirs_turn;
