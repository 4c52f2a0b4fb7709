create or replace function public.release_session_request(
    request_id uuid,
    reason text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.release_request(request_id, reason);
end;
$$;

comment on function public.release_session_request(uuid, text) is
'The mechanic who accepted a request gives it back: everyone but them is asked at once, and the '
'customer is told. The second time, or if nobody came before, it is cancelled, and its refund is '
'due. The reason (its first 100 characters) is kept for the operators only. Returns '
'{"request_id", "released_at"}; again: the same answer. Raises PT401 not_signed_in, PT403 '
'not_a_mechanic, not_yours, PT404 request_not_found, PT409 request_not_pending, PT410 '
'request_cancelled, request_expired.';
revoke all on function public.release_session_request(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.release_session_request(uuid, text) to authenticated;
