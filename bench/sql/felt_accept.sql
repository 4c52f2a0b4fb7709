\set n :n + 1
\set id :first + :n * :clients + :client_id
select id from public.accept_session_request(bench.request_id(:id));
