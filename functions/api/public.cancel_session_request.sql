create or replace function public.cancel_session_request(request_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.cancel_request(request_id);
end;
$$;

comment on function public.cancel_session_request(uuid) is
'The customer withdraws a pending request. Returns the request. Raises PT401 not_signed_in, PT403 '
'not_yours, PT404 request_not_found, PT409 request_not_pending, PT410 request_cancelled, '
'request_expired.';
revoke all on function public.cancel_session_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.cancel_session_request(uuid) to authenticated;
