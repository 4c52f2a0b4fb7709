create index concurrently if not exists session_requests_priority_notified_idx
on public.session_requests (priority_notified_at)
where priority_notified_at is not null and status = 'pending';

-- The sweep's: the next window to end comes first, and a broadcast takes the row out. Of a time
-- that no clock shows it makes no sum, which might be out of range (as dispatch.bind_requests).
create index concurrently if not exists session_requests_priority_deadline_idx
on public.session_requests ((
    case
        when (priority_notified_at at time zone 'UTC') between '2000-01-01' and '9999-12-31'
            then (
                (priority_notified_at at time zone 'UTC')
                + pg_catalog.make_interval(mins => priority_window_minutes)
            ) at time zone 'UTC'
        else priority_notified_at
    end
))
where status = 'pending' and notification_sent_at is null;
