create or replace function dispatch.may_see_request(p_request public.session_requests)
returns boolean
language plpgsql
stable
-- definer: policies run as the client, who cannot read the event log or the flag
security definer
set search_path = pg_catalog, pg_temp
as $$
-- (Stable all the same: of a size that grows meanwhile the rows are not seen.)
-- @plpgsql_check_options: other_warnings = false
declare
    v_user_id uuid := dispatch.caller_id();
    v_mechanic_id uuid;
begin
    -- No error here: a policy that raises would cost Realtime its whole batch of changes.
    if v_user_id is null then
        return false;
    end if;
    v_mechanic_id := dispatch.approved_mechanic_of(v_user_id);
    if v_mechanic_id is null then
        return false;
    elsif
        dispatch.max_open_sessions() is not null
        and dispatch.is_at_capacity(v_mechanic_id, v_user_id)
    then
        return false;
    elsif p_request.notification_sent_at is null then
        return dispatch.refusal(dispatch.as_request(p_request), v_mechanic_id, v_user_id) is null;
    end if;
    if pg_relation_size('dispatch.blocks') > 0 then
        if dispatch.is_blocked(v_user_id, p_request.customer_id) then
            return false;
        end if;
    end if;
    return dispatch.broadcast_refusal(
        p_request.customer_id,
        p_request.status::text,
        p_request.expires_at,
        v_user_id,
        exists (
            select from dispatch.exclusions as x
            where x.request_id = p_request.id and x.user_id = v_user_id
        ),
        now()
    ) is null;
end;
$$;

comment on function dispatch.may_see_request(public.session_requests) is
'For row level security on a marketplace of ours: whether the caller is a mechanic who may '
'accept this request now.';
revoke all on function dispatch.may_see_request(public.session_requests)
from public, anon, authenticated, service_role;
grant execute on function dispatch.may_see_request(public.session_requests) to authenticated;
