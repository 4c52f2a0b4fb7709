create or replace function public.broadcast_session_request_now(request_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.broadcast_request_now(request_id);
end;
$$;

comment on function public.broadcast_session_request_now(uuid) is
'The customer ends the priority window early: everyone is asked. Returns the request; one that '
'was broadcast already is returned as it is. Raises PT401 not_signed_in, PT403 not_yours, PT404 '
'request_not_found, PT409 request_not_pending, PT410 request_cancelled, request_expired.';
revoke all on function public.broadcast_session_request_now(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.broadcast_session_request_now(uuid) to authenticated;
