create or replace function public.get_session_request_by_checkout(checkout_session_id text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.get_request_by_checkout(checkout_session_id);
end;
$$;

comment on function public.get_session_request_by_checkout(text) is
'The caller''s request that this Stripe Checkout Session paid for; null while it has not come (see '
'get_checkout_status), or if it is not theirs. Raises PT401 not_signed_in.';
revoke all on function public.get_session_request_by_checkout(text)
from public, anon, authenticated, service_role;
grant execute on function public.get_session_request_by_checkout(text) to authenticated;
