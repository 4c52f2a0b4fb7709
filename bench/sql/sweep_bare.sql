update bench.session_requests
set
    notification_sent_at = now(), updated_at = now(),
    expires_at = now() + interval '24 hours'
where
    id = any(array(
        select r.id from bench.session_requests as r
        where r.status = 'pending' and r.notification_sent_at is null
        order by
            case
                when
                    (r.priority_notified_at at time zone 'UTC')
                    between '2000-01-01' and '9999-12-31'
                    then (
                        (r.priority_notified_at at time zone 'UTC')
                        + make_interval(mins => r.priority_window_minutes)
                    ) at time zone 'UTC'
                else r.priority_notified_at
            end
        limit 50
    ));
