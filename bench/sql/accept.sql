select id from public.accept_session_request(bench.request_id(nextval('bench.turn')));
