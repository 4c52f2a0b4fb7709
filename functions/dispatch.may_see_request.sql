create or replace function dispatch.may_see_request(p_request public.session_requests)
returns boolean
language plpgsql
stable
-- definer: policies run as the client, who cannot read the event log or the flag
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.caller_id();
begin
    -- No error here: a policy that raises would cost Realtime its whole batch of changes.
    return v_user_id is not null
    and dispatch.is_approved_mechanic(v_user_id)
    and dispatch.refusal(p_request, v_user_id) is null;
end;
$$;

comment on function dispatch.may_see_request(public.session_requests) is
'For row level security: whether the caller is a mechanic who may accept this request now.';
revoke all on function dispatch.may_see_request(public.session_requests)
from public, anon, authenticated, service_role;
grant execute on function dispatch.may_see_request(public.session_requests) to authenticated;
