create or replace function dispatch.log_request_change()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer text;
    -- Who besides the customer had been told: everyone after the broadcast, or once the window was
    -- over (the list shows the request from then on); before that, the preferred mechanic.
    v_told text := 'session_requests_feed';
    v_winner text;
    v_topics text[];
    v_window record;
    v_window_minutes integer;
    v_window_ends_at timestamptz;
    v_fallback record;
    v_reason text;
begin
    if
        new.status = old.status
        and new.notification_sent_at is not distinct from old.notification_sent_at
    then
        return null;  -- no transition
    end if;

    v_customer := 'customer:' || old.customer_id;
    if
        old.notification_sent_at is null
        and new.notification_sent_at is not null
        and new.status = 'pending'
    then
        v_fallback := dispatch.fallback_reason(old, new);
        perform dispatch.record_event(
            new,
            'new_request',
            array[v_customer, 'session_requests_feed'],
            jsonb_strip_nulls(
                jsonb_build_object(
                    'is_fallback_broadcast', v_fallback.reason is not null,
                    'reason', v_fallback.reason,
                    -- For whoever asks how late the sweep was.
                    'window_ends_at', v_fallback.window_ended_at
                )
            )
        );
    end if;
    if new.status = old.status then
        return null;
    end if;

    if old.notification_sent_at is null then
        v_window := dispatch.priority_window(old);
        v_window_minutes := v_window.window_minutes;
        v_window_ends_at := v_window.ends_at;
        if v_window_ends_at > now() then
            v_told := 'mechanic:' || v_window.mechanic_id;
        end if;
    end if;
    if new.status = 'accepted' then
        v_winner := 'mechanic:' || new.mechanic_id;
        v_topics := array[v_customer, v_winner];
        if v_told <> v_winner then
            v_topics := v_topics || v_told;
        end if;
        perform dispatch.record_event(
            new, 'request_accepted', v_topics, '{}', v_window_minutes, v_window_ends_at
        );
        return null;
    end if;

    if old.status = 'accepted' then
        v_told := 'mechanic:' || old.mechanic_id;
    end if;
    v_topics := array_remove(array[v_customer, v_told], null);
    if tg_op = 'UPDATE' and new.status = 'completed' then
        perform dispatch.record_event(new, 'request_completed', v_topics);
    elsif tg_op = 'UPDATE' or old.status in ('pending', 'accepted') then
        v_reason := case
            when tg_op = 'DELETE' then 'cancelled'
            when new.status = 'expired' then 'expired'
            when new.metadata ? 'refunded_at' then 'refunded'
            else 'cancelled'
        end;
        perform dispatch.record_event(
            case tg_op when 'DELETE' then old else new end,
            'request_cancelled',
            v_topics,
            jsonb_build_object('reason', v_reason),
            v_window_minutes,
            v_window_ends_at
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.log_request_change() is
'Trigger: logs a broadcast, an accept, a completion, a cancellation, whoever wrote it.';
revoke all on function dispatch.log_request_change()
from public, anon, authenticated, service_role;
