-- Changes dispatch.request_events; dispatch.windows on a marketplace that was there first.
-- It runs after dispatch.route_request or dispatch.open_window, in the same statement: the columns
-- say what was decided.
create or replace function dispatch.log_new_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests := dispatch.as_request(new);
    v_customer text := 'customer:' || v_request.customer_id;
    v_mechanic text;
    v_reason text;
begin
    if not v_request.is_pending then
        return null;  -- imported: no transition
    end if;
    if dispatch.governs_all() then
        v_reason := new.metadata ->> 'routing_reason';
    else
        v_reason := dispatch.routing_reason(new.id);
    end if;

    if v_request.announced_at is null and v_request.preferred_mechanic_id is not null then
        if not dispatch.governs_all() then
            insert into dispatch.windows (request_id, ends_at)
            values (v_request.id, v_request.window_ends_at);
        end if;
        v_mechanic := 'mechanic:' || (
            select m.user_id from dispatch.mechanics as m
            where m.id = v_request.preferred_mechanic_id
        );
        perform dispatch.record_event(
            v_request,
            'priority_request',
            array[v_customer, v_mechanic],
            case
                when v_reason is null then '{}' else jsonb_build_object('reason', v_reason)
            end,
            v_request.window_minutes,
            v_request.window_ends_at
        );
        return null;
    end if;

    if v_reason is not null then
        perform dispatch.record_event(
            v_request, 'priority_skipped', array[v_customer], jsonb_build_object('reason', v_reason)
        );
    end if;
    -- Of theirs, who hears of a request without a window is theirs to say.
    if dispatch.governs_all() then
        perform dispatch.record_event(
            v_request,
            'new_request',
            array[v_customer, 'session_requests_feed'],
            '{"is_fallback_broadcast": false}'
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.log_new_request() is
'Trigger: logs where a new request went: to the preferred mechanic, or to everyone.';
revoke all on function dispatch.log_new_request() from public, anon, authenticated, service_role;
