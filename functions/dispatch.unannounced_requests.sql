-- Hook: the platform's neutral version is in sql/platform/hooks.sql.
-- However many are reserved for others, they are not looked at. (A window whose mechanic is gone
-- was broadcast in the transaction that made it so, by dispatch.release_windows or by the guard.)
create or replace function dispatch.unannounced_requests(p_mechanic_id uuid)
returns table (request_id uuid, window_ends_at timestamptz)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if dispatch.favorites_priority_enabled() then
        return query
        -- Their own windows, by dispatch.priority_window's arithmetic without a call for each.
        select r.id, r.priority_notified_at + make_interval(mins => r.priority_window_minutes)
        from public.session_requests as r
        where
            r.preferred_mechanic_id = p_mechanic_id
            -- As text, so that no index of all that is pending fits: a plan made while few were
            -- would read all of them.
            and r.status::text = 'pending' and r.notification_sent_at is null
            and r.priority_notified_at + make_interval(mins => r.priority_window_minutes) > now();
    end if;

    return query
    -- Windows that are over, and not yet announced.
    select w.request_id, null::timestamptz from dispatch.pending_windows(now(), null) as w
    union all
    -- No window at all: written before there were triggers.
    select r.id, null::timestamptz from public.session_requests as r
    where
        r.status = 'pending' and r.notification_sent_at is null
        and ((r.priority_notified_at at time zone 'UTC')
        + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC' is null;
end;
$$;
