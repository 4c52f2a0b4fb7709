insert into public.session_requests (customer_id, session_type, plan_code, customer_name)
values ('c0000000-0000-4000-8000-000000000001', 'chat', 'chat10', 'Carla');
