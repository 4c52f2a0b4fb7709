select r.request_id from public.list_open_session_requests() as r;
