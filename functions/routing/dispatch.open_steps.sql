-- Changes dispatch.steps, dispatch.request_events. For dispatch.take_steps alone.
create or replace function dispatch.open_steps(
    p_request dispatch.requests,
    p_over_at timestamptz,
    p_reason text,
    p_at timestamptz
)
returns dispatch.requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reason text := p_reason;
    v_step record;
begin
    for v_step in
        select * from dispatch.due_steps(p_request.id, p_request.customer_id, p_over_at, p_at)
    loop
        if v_step.skipped is not null then
            perform dispatch.skip_step(
                p_request, v_step.turn, v_step.mechanic_id, v_step.skipped
            );
            continue;
        end if;
        delete from dispatch.steps as s
        where s.request_id = p_request.id and s.turn = v_step.turn;
        perform dispatch.record_event(
            p_request.id, p_request.session_type, p_request.plan_code, p_request.created_at,
            'priority_request',
            array['customer:' || p_request.customer_id, 'mechanic:' || v_step.user_id],
            jsonb_build_object('reason', v_reason),
            v_step.window_minutes, v_step.ends_at
        );
        if v_reason = 'window_ended' then
            perform dispatch.note_silence(p_request);
        end if;
        p_request.preferred_mechanic_id := v_step.mechanic_id;
        p_request.preferred_user_id := v_step.user_id;
        p_request.window_minutes := v_step.window_minutes;
        p_request.window_began_at := v_step.began_at;
        p_request.window_ends_at := v_step.ends_at;
        p_request.announced_at := case when v_step.ends_at <= p_at then p_request.announced_at end;
        -- The next one's turn comes with the end of this window, late as it may be told.
        v_reason := 'window_ended';
    end loop;
    return p_request;
end;
$$;

comment on function dispatch.open_steps(dispatch.requests, timestamptz, text, timestamptz) is
'Tells the favourites whose turn has come by p_at (dispatch.due_steps), the first of them because '
'of p_reason. Returns the request with the last one''s window.';
revoke all on function dispatch.open_steps(dispatch.requests, timestamptz, text, timestamptz)
from public, anon, authenticated, service_role;
