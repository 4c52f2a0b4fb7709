-- Hook: the platform's neutral version is in sql/platform/hooks.sql.
-- The expression is that of session_requests_priority_deadline_idx, so that the first rows are
-- found in a few pages however many requests there are. (timestamptz + interval cannot be indexed:
-- it depends on the time zone. In UTC it does not, and minutes are the same length everywhere.)
create or replace function dispatch.pending_windows(p_before timestamptz, p_limit integer)
returns table (request_id uuid, ends_at timestamptz)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while the table was small would sort all windows.
set enable_sort = off
as $$
declare
    -- With the flag off every window is over.
    v_before timestamptz := case
        when dispatch.favorites_priority_enabled() then p_before
        else 'infinity'::timestamptz
    end;
begin
    return query
    select
        r.id,
        ((r.priority_notified_at at time zone 'UTC')
        + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC'
    from public.session_requests as r
    where
        r.status = 'pending' and r.notification_sent_at is null
        and ((r.priority_notified_at at time zone 'UTC')
        + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC' <= v_before
    order by
        ((r.priority_notified_at at time zone 'UTC')
        + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC'
    limit p_limit;
end;
$$;
