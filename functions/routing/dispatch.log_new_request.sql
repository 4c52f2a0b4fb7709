-- On a marketplace of ours (another's has dispatch.log_window). It runs after
-- dispatch.route_request, in the same statement: the columns say what was decided.
create or replace function dispatch.log_new_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer text := 'customer:' || new.customer_id;
    v_routing jsonb := new.metadata -> 'routing';
begin
    if new.status <> 'pending' then
        if dispatch.max_open_sessions() is not null then
            perform dispatch.follow_capacity(new.id, array[new.mechanic_id]);
        end if;
        return null;  -- imported: no transition
    end if;
    if v_routing is not null then
        perform dispatch.log_skipped(
            dispatch.as_request(new), jsonb_path_query_array(v_routing, '$.skipped[*]')
        );
    end if;

    -- Not broadcast: the columns of the window are there, and filled.
    if new.notification_sent_at is null then
        -- As a condition, since "perform" would plan and run a query.
        if
            dispatch.record_event(
                new.id,
                new.session_type::text,
                new.plan_code,
                new.created_at,
                'priority_request',
                array[v_customer, 'mechanic:' || new.preferred_mechanic_id],
                case
                    when v_routing is null then '{}' else jsonb_strip_nulls(v_routing - 'skipped')
                end,
                new.priority_window_minutes,
                new.priority_notified_at + make_interval(mins => new.priority_window_minutes)
            ) is not null
        then
            return null;
        end if;
    end if;

    perform dispatch.record_event(
        new.id,
        new.session_type::text,
        new.plan_code,
        new.created_at,
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
