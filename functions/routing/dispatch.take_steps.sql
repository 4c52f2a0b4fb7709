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
    v_step record;
    v_reason text;
    v_is_due boolean;
begin
    -- Locked, so that a suspension or deletion sees what is opened here. One under way is not waited
    -- for, as it may wait for whoever called this: what is opened for its mechanic is moved on by
    -- dispatch.follow_sessions. But by the foreign key nothing can be opened for one who is being
    -- deleted.
    for v_step in
        select s.turn, s.mechanic_id from dispatch.steps as s
        where
            s.request_id = p_request.id
            and not exists (
                select from dispatch.mechanics as m where m.id = s.mechanic_id for share skip locked
            )
            and not exists (
                select from dispatch.mechanics as m
                where m.id = s.mechanic_id
                for key share skip locked
            )
        order by s.turn
    loop
        -- (One who is gone is passed over when their turn comes.)
        continue when not exists (
            select from dispatch.mechanics as m where m.id = v_step.mechanic_id
        );
        perform dispatch.skip_step(
            p_request, v_step.turn, v_step.mechanic_id, 'unknown_mechanic'
        );
    end loop;

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
