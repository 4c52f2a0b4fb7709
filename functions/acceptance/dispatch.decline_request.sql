-- Changes dispatch.request_events; the request, through dispatch.requests, when the decline ends a
-- window.
create or replace function dispatch.decline_request(p_request_id uuid, p_reason text)
returns jsonb
language plpgsql
volatile
-- definer: clients cannot write the event log; the caller is checked by require_mechanic
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid := dispatch.require_mechanic();
    v_user_id uuid := auth.uid();
    v_request dispatch.requests;
    v_refusal text;
    v_declined_at timestamptz;
    v_window record;
begin
    -- The lock keeps accept, cancel, expiry and broadcast out until this is decided.
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;

    select x.created_at into v_declined_at
    from dispatch.exclusions as x
    where
        x.request_id = p_request_id and x.user_id = v_user_id and x.event = 'request_declined';
    if v_declined_at is null then
        v_refusal := case
            when v_request.mechanic_user_id = v_user_id and not v_request.is_pending
                then 'request_not_pending'
            -- Who has their hands full may say no all the same.
            else nullif(dispatch.refusal(v_request, v_mechanic_id, v_user_id), 'at_capacity')
        end;
        if v_refusal is not null then
            perform dispatch.raise_error(v_refusal);
        end if;
        v_declined_at := now();
        v_window := dispatch.priority_window(v_request);
        perform dispatch.record_event(
            v_request.id,
            v_request.session_type,
            v_request.plan_code,
            v_request.created_at,
            'request_declined',
            array['mechanic:' || v_user_id],
            jsonb_strip_nulls(jsonb_build_object('decline_reason', left(p_reason, 100))),
            v_window.window_minutes,
            v_window.ends_at
        );
        -- The preferred mechanic will not come: everyone hears of it now.
        if v_window.mechanic_id = v_mechanic_id then
            perform dispatch.note_answer(v_mechanic_id, p_request_id);
            begin
                update dispatch.requests set announced_at = now() where id = p_request_id;
                perform dispatch.ask_deferred();
            exception
                when assert_failure or others then
                    perform dispatch.raise_refused(sqlstate, 'request_not_pending');
                    raise;
            end;
        end if;
    end if;
    return jsonb_build_object('request_id', p_request_id, 'declined_at', v_declined_at);
end;
$$;

comment on function dispatch.decline_request(uuid, text) is
'Behind public.decline_session_request.';
revoke all on function dispatch.decline_request(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.decline_request(uuid, text) to authenticated;
