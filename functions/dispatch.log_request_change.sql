create or replace function dispatch.log_request_change()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = ''
as $$
declare
    v_customer text := 'customer:' || old.customer_id;
    v_preferred_id uuid;
    v_window_minutes integer;
    v_window_ends_at timestamptz;
    v_reason text;
    v_told text[];
begin
    -- Whoever had been told: everyone after the broadcast, or once the window was over (the list
    -- shows the request from then on); before that, the preferred mechanic.
    v_told := array['session_requests_feed'];
    if old.notification_sent_at is null then
        select w.mechanic_id, w.window_minutes, w.ends_at
        into v_preferred_id, v_window_minutes, v_window_ends_at
        from dispatch.priority_window(old) as w;
        if v_window_ends_at > now() then
            v_told := array['mechanic:' || v_preferred_id];
        end if;
    end if;

    if old.status = 'accepted' then
        v_told := array_remove(array['mechanic:' || old.mechanic_id], null);
    end if;

    if tg_op = 'DELETE' then
        perform dispatch.record_event(
            old,
            'request_cancelled',
            v_customer || v_told,
            '{"reason": "cancelled"}',
            v_window_minutes,
            v_window_ends_at
        );
        return null;
    end if;

    if
        old.notification_sent_at is null and new.notification_sent_at is not null
        and new.status = 'pending'
    then
        v_reason := dispatch.fallback_reason(old, new);
        perform dispatch.record_event(
            new,
            'new_request',
            array[v_customer, 'session_requests_feed'],
            jsonb_strip_nulls(
                jsonb_build_object(
                    'is_fallback_broadcast', v_reason is not null, 'reason', v_reason
                )
            )
        );
    end if;

    if new.status = old.status then
        return null;
    end if;
    case new.status
        when 'accepted' then
            perform dispatch.record_event(
                new,
                'request_accepted',
                array[v_customer, 'mechanic:' || new.mechanic_id]
                || array_remove(v_told, 'mechanic:' || new.mechanic_id),
                '{}',
                v_window_minutes,
                v_window_ends_at
            );
        when 'completed' then
            perform dispatch.record_event(
                new,
                'request_completed',
                array_remove(array[v_customer, 'mechanic:' || new.mechanic_id], null)
            );
        else
            perform dispatch.record_event(
                new,
                'request_cancelled',
                v_customer || v_told,
                jsonb_build_object(
                    'reason',
                    case
                        when new.status = 'expired' then 'expired'
                        when new.metadata ? 'refunded_at' then 'refunded'
                        else 'cancelled'
                    end
                ),
                v_window_minutes,
                v_window_ends_at
            );
    end case;
    return null;
end;
$$;

comment on function dispatch.log_request_change() is
'Trigger: logs a broadcast, an accept, a completion, a cancellation, whoever wrote it.';
revoke all on function dispatch.log_request_change()
from public, anon, authenticated, service_role;
