update bench.session_requests
set
    status = 'accepted', mechanic_id = '00000000-0000-4000-8000-000000000001',
    accepted_at = now(), updated_at = now()
where id = (select bench.request_id(nextval('bench.bare_turn')));
