create or replace function public.decline_session_request(
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
    return dispatch.decline_request(request_id, reason);
end;
$$;

comment on function public.decline_session_request(uuid, text) is
'A mechanic does not want a request and is not asked again; from the preferred mechanic, everyone '
'is asked at once. The reason (its first 100 characters) is kept for the operators only. Returns '
'{"request_id", "declined_at"}; again: the same answer. Raises PT401 not_signed_in, PT403 '
'not_a_mechanic, PT404 request_not_found, PT409 request_taken, request_not_pending, PT410 '
'request_cancelled, request_expired.';
revoke all on function public.decline_session_request(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.decline_session_request(uuid, text) to authenticated;
