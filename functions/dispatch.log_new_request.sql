create or replace function dispatch.log_new_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = ''
as $$
declare
    v_customer text := 'customer:' || new.customer_id;
    v_reason text := new.metadata ->> 'routing_reason';
    v_window record;
begin
    if new.status <> 'pending' then
        -- Refunded before it came (dispatch.process_stripe_event); a row that is merely imported
        -- is no transition.
        if new.status = 'cancelled' and new.metadata ? 'refunded_at' then
            perform dispatch.record_event(
                new, 'request_cancelled', array[v_customer], '{"reason": "refunded"}'
            );
        end if;
        return null;
    end if;

    if new.notification_sent_at is null then
        v_window := dispatch.priority_window(new);
        if v_window.mechanic_id is not null then
            perform dispatch.record_event(
                new,
                'priority_request',
                array[v_customer, 'mechanic:' || v_window.mechanic_id],
                jsonb_strip_nulls(jsonb_build_object('reason', v_reason)),
                v_window.window_minutes,
                v_window.ends_at
            );
            return null;
        end if;
    end if;

    if v_reason is not null then
        perform dispatch.record_event(
            new, 'priority_skipped', array[v_customer], jsonb_build_object('reason', v_reason)
        );
    end if;
    perform dispatch.record_event(
        new,
        'new_request',
        array[v_customer, 'session_requests_feed'],
        '{"is_fallback_broadcast": false}'
    );
    return null;
end;
$$;

comment on function dispatch.log_new_request() is
'Trigger: logs where a new request went: to the preferred mechanic, or to everyone.';
revoke all on function dispatch.log_new_request() from public, anon, authenticated, service_role;
