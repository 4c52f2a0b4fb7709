-- Changes dispatch.steps, dispatch.request_events. The request itself is its caller's to write: on
-- ours the guard does so within the statement, on a marketplace that was there first its triggers.
create or replace function dispatch.take_steps(
    p_request dispatch.requests,
    p_at timestamptz,
    p_is_broadcast boolean
)
returns dispatch.requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reason text;
    v_is_due boolean;
begin
    -- What the clock says comes first, whoever asks.
    v_is_due := p_request.window_ends_at <= p_at and dispatch.favorites_priority_enabled();
    if v_is_due then
        p_request := dispatch.open_steps(
            p_request, p_request.window_ends_at, 'window_ended', p_at
        );
    end if;
    -- The sweep meant the window that it found to be over.
    if
        not p_is_broadcast
        or (
            v_is_due and p_request.window_ends_at > p_at
            and coalesce(current_setting('dispatch.sweeping', true), '') <> ''
        )
    then
        return p_request;
    end if;
    -- It is not to be this favourite's any more. Only the customer, or the flag, ends all of it; who
    -- else announced it meant, as the sweep, what was over.
    v_reason := dispatch.fallback_reason(p_request, p_at);
    p_request.announced_at := case when p_request.window_ends_at <= p_at then p_at end;
    if
        p_request.announced_at is null
        and not (
            v_is_due and v_reason = 'customer' and auth.uid() is distinct from p_request.customer_id
        )
    then
        p_request.announced_at := p_at;
        if
            v_reason not in ('customer', 'flag_off')
            -- With a block the customer ends this favourite's turn alone.
            or (
                v_reason = 'customer'
                and dispatch.is_blocked(p_request.preferred_user_id, p_request.customer_id)
            )
        then
            return dispatch.open_steps(p_request, p_at, v_reason, p_at);
        end if;
    end if;
    return p_request;
end;
$$;

comment on function dispatch.take_steps(dispatch.requests, timestamptz, boolean) is
'Opens the windows of a request''s further favourites whose turn has come at p_at, by the clock, '
'or because the request is to be broadcast (p_is_broadcast), and logs them. Returns the request '
'with the last one''s window, and announced_at if nobody is left: then it is everyone''s.';
revoke all on function dispatch.take_steps(dispatch.requests, timestamptz, boolean)
from public, anon, authenticated, service_role;
