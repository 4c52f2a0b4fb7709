-- Changes dispatch.steps, dispatch.request_events. For dispatch.take_steps alone. It decides whose
-- turn it is as dispatch.due_steps does, which only looks.
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
    v_began_at timestamptz := p_over_at;
    v_ends_at timestamptz;
    v_mechanic_id uuid;
    v_user_id uuid;
    v_is_approved boolean;
    v_window_minutes integer;
    v_skipped text;
begin
    while v_began_at <= p_at loop
        delete from dispatch.steps as s
        where
            s.ctid = (
                select n.ctid from dispatch.steps as n
                where n.request_id = p_request.id
                order by n.turn
                limit 1
            )
        returning s.mechanic_id, s.window_minutes into v_mechanic_id, v_window_minutes;
        exit when not found;
        -- Locked, so that a suspension or deletion sees what is opened here. One under way is not
        -- waited for, as it may wait for whoever called this: what is opened for its mechanic is
        -- moved on by dispatch.follow_sessions. But by the foreign key nothing can be opened for one
        -- who is being deleted: they are not found, as if they were gone.
        select m.user_id, m.is_approved into v_user_id, v_is_approved
        from dispatch.mechanics as m
        where m.id = v_mechanic_id
        for share skip locked;
        if not found then
            select m.user_id, m.is_approved into v_user_id, v_is_approved
            from dispatch.mechanics as m
            where m.id = v_mechanic_id
            for key share skip locked;
        end if;
        v_skipped := dispatch.why_not_asked(
            v_mechanic_id, v_user_id, v_is_approved, p_request.customer_id
        );
        if v_skipped is not null then
            perform dispatch.log_skipped(
                p_request,
                jsonb_build_array(
                    jsonb_build_object('mechanic_id', v_mechanic_id, 'reason', v_skipped)
                )
            );
            continue;
        end if;
        v_ends_at := v_began_at + make_interval(mins => v_window_minutes);
        perform dispatch.record_event(
            p_request.id, p_request.session_type, p_request.plan_code, p_request.created_at,
            'priority_request',
            array['customer:' || p_request.customer_id, 'mechanic:' || v_user_id],
            jsonb_build_object('reason', v_reason),
            v_window_minutes, v_ends_at
        );
        if v_reason = 'window_ended' then
            perform dispatch.note_silence(p_request);
        end if;
        p_request.preferred_mechanic_id := v_mechanic_id;
        p_request.preferred_user_id := v_user_id;
        p_request.window_minutes := v_window_minutes;
        p_request.window_began_at := v_began_at;
        p_request.window_ends_at := v_ends_at;
        p_request.announced_at := case when v_ends_at <= p_at then p_request.announced_at end;
        -- The next one's turn comes with the end of this window, late as it may be told.
        v_began_at := v_ends_at;
        v_reason := 'window_ended';
    end loop;
    return p_request;
end;
$$;

comment on function dispatch.open_steps(dispatch.requests, timestamptz, text, timestamptz) is
'Tells the favourites whose turn has come by p_at, the window before them being over at '
'p_over_at, the first of them because of p_reason. Returns the request with the last window.';
revoke all on function dispatch.open_steps(dispatch.requests, timestamptz, text, timestamptz)
from public, anon, authenticated, service_role;
