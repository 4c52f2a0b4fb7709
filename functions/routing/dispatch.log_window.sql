-- Changes dispatch.windows, dispatch.request_events. On a marketplace that was there first, and
-- only for a booking that named a favourite. It runs after dispatch.route_request, in the same
-- statement: the columns say what was decided.
create or replace function dispatch.log_window()
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
    v_reason text := nullif(dispatch.routing_note(new.id), 'granted');
begin
    if not v_request.is_pending then
        return null;  -- imported: no transition
    end if;
    -- A favourite in a column of theirs may stand there without a window.
    if
        v_request.preferred_mechanic_id is not null
        and v_request.window_ends_at is not null
        and coalesce(v_reason, 'invalid_window') = 'invalid_window'
        and dispatch.favorites_priority_enabled()
    then
        -- One of this id may have gone without a trigger: their table was emptied, and is filled again.
        insert into dispatch.windows (request_id, ends_at)
        values (v_request.id, v_request.window_ends_at)
        on conflict (request_id) do update
        set ends_at = excluded.ends_at, announced_at = null, closed_at = null;
        perform dispatch.record_event(
            v_request.id,
            v_request.session_type,
            v_request.plan_code,
            v_request.created_at,
            'priority_request',
            array[v_customer, 'mechanic:' || v_request.preferred_user_id],
            jsonb_strip_nulls(jsonb_build_object('reason', v_reason)),
            v_request.window_minutes,
            v_request.window_ends_at
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.log_window() is
'Trigger on a marketplace that was there first: from here on the engine governs the request, and '
'its favourite is told.';
revoke all on function dispatch.log_window() from public, anon, authenticated, service_role;
