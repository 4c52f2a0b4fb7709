create or replace function public.complete_session_request(request_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.complete_request(request_id);
end;
$$;

comment on function public.complete_session_request(uuid) is
'The mechanic who took a request has done it; again: the same answer. Returns the request. Raises '
'PT401 not_signed_in, PT403 not_a_mechanic, not_yours, PT404 request_not_found, PT410 '
'request_cancelled.';
revoke all on function public.complete_session_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.complete_session_request(uuid) to authenticated;
