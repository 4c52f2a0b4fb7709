create or replace function public.accept_session_request(request_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.accept_request(request_id);
end;
$$;

comment on function public.accept_session_request(uuid) is
'A mechanic takes a request; asked again by its winner, the same answer. Returns the request. '
'Raises PT401 not_signed_in, PT403 not_a_mechanic, PT404 request_not_found, PT409 request_taken, '
'at_capacity, PT410 request_cancelled, request_expired.';
revoke all on function public.accept_session_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.accept_session_request(uuid) to authenticated;
