create or replace function public.reopen_session_request(request_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.reopen_request(request_id);
end;
$$;

comment on function public.reopen_session_request(uuid) is
'The mechanic who accepted the customer''s request did not come: from 10 minutes after the accept '
'everyone but them is asked, and nothing is charged again. The second time, or if it was given '
'back before, it is cancelled, and its refund is due. Again, while it is pending: the same answer. '
'Raises PT401 not_signed_in, PT403 not_yours, PT404 request_not_found, PT409 too_early, '
'request_not_pending, PT410 request_cancelled, request_expired.';
revoke all on function public.reopen_session_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.reopen_session_request(uuid) to authenticated;
