-- A window is over at once when its mechanic is gone, no longer approved, or at capacity, when the
-- flag is off, and when the request was broadcast. Nothing here depends on the sweep having run:
-- from the moment a window is over, it is that of the next favourite, if there is one.
create or replace function dispatch.priority_window(
    p_request dispatch.requests,
    p_now timestamptz default now(),
    out mechanic_id uuid,
    out user_id uuid,
    out window_minutes integer,
    out ends_at timestamptz
)
returns record
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_step record;
begin
    if
        p_request.announced_at is not null
        or p_request.window_began_at is null
        or not dispatch.favorites_priority_enabled()
    then
        return;
    end if;
    if
        dispatch.is_approved_mechanic(p_request.preferred_mechanic_id)
        and (
            dispatch.max_open_sessions() is null
            or p_request.window_ends_at <= p_now
            or not p_request.is_pending
            or not dispatch.is_at_capacity(
                p_request.preferred_mechanic_id, p_request.preferred_user_id, p_request.id
            )
        )
    then
        mechanic_id := p_request.preferred_mechanic_id;
        user_id := p_request.preferred_user_id;
        window_minutes := p_request.window_minutes;
        ends_at := p_request.window_ends_at;
        if ends_at > p_now then
            return;
        end if;
    end if;
    if not p_request.is_pending then
        return;
    end if;
    for v_step in
        select * from dispatch.due_steps(
            p_request.id,
            p_request.customer_id,
            case
                when p_request.window_ends_at <= p_now or mechanic_id is not null
                    then p_request.window_ends_at
                -- Gone meanwhile.
                else p_request.window_began_at
            end,
            p_now
        )
    loop
        if v_step.skipped is null then
            mechanic_id := v_step.mechanic_id;
            user_id := v_step.user_id;
            window_minutes := v_step.window_minutes;
            ends_at := v_step.ends_at;
        end if;
    end loop;
end;
$$;

comment on function dispatch.priority_window(dispatch.requests, timestamptz) is
'The window of a request not yet broadcast, at p_now: for whom, minutes, end; the last one, if it '
'is over. Nulls: it has none.';
revoke all on function dispatch.priority_window(dispatch.requests, timestamptz)
from public, anon, authenticated, service_role;
