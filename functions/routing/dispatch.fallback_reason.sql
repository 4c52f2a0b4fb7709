-- The reason is read off the row and the caller, so that a broadcast is explained the same way
-- whichever way it came about, a plain UPDATE included.
create or replace function dispatch.fallback_reason(
    p_request dispatch.requests,
    p_announced_at timestamptz
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when p_request.window_began_at is null then null
        when not dispatch.favorites_priority_enabled() then 'flag_off'
        when
            not dispatch.is_approved_mechanic(p_request.preferred_mechanic_id)
                then 'mechanic_gone'
        when p_announced_at >= p_request.window_ends_at then 'window_ended'
        when
            dispatch.max_open_sessions() is not null
            and dispatch.is_at_capacity(
                p_request.preferred_mechanic_id, p_request.preferred_user_id, p_request.id
            ) then 'at_capacity'
        -- By dispatch.end_unreachable_window.
        when dispatch.routing_note(p_request.id) = 'unreachable' then 'unreachable'
        -- By dispatch.set_block. The customer is not told that the mechanic did it.
        when
            dispatch.has_blocked(p_request.preferred_user_id, p_request.customer_id)
                then 'mechanic_gone'
        when auth.uid() = p_request.preferred_user_id then 'declined'
        else 'customer'
    end;
end;
$$;

comment on function dispatch.fallback_reason(dispatch.requests, timestamptz) is
'Why a request that had a window until now is broadcast at p_announced_at; null: it had none.';
revoke all on function dispatch.fallback_reason(dispatch.requests, timestamptz)
from public, anon, authenticated, service_role;
