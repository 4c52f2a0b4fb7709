create index concurrently if not exists session_requests_priority_notified_idx
on public.session_requests (priority_notified_at)
where priority_notified_at is not null and status = 'pending';

-- The sweep's: the next window to end comes first, and a broadcast takes the row out.
create index concurrently if not exists session_requests_priority_deadline_idx
on public.session_requests ((
    (
        (priority_notified_at at time zone 'UTC')
        + make_interval(mins => priority_window_minutes)
    ) at time zone 'UTC'
))
where status = 'pending' and notification_sent_at is null;
