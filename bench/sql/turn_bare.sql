with over as (
    delete from bench.steps as s
    where
        s.request_id = any(array(
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
        ))
    returning s.request_id, s.mechanic_id, s.window_minutes
),

asked as (
    select m.id from bench.mechanics as m
    where m.id in (select over.mechanic_id from over)
    for share
)

update bench.session_requests as r
set
    preferred_mechanic_id = over.mechanic_id, priority_window_minutes = over.window_minutes,
    priority_notified_at = now(), updated_at = now()
from over inner join asked on asked.id = over.mechanic_id
where r.id = over.request_id;
