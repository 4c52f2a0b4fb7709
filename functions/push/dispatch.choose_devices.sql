-- Changes dispatch.pushes: in place of the one of a broadcast, one for each device of the best.
create or replace function dispatch.choose_devices(p_push dispatch.pushes, p_now timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into dispatch.pushes (event_id, request_id, user_id, endpoint, due_at, expires_at)
    select p_push.event_id, p_push.request_id, d.user_id, d.endpoint, p_now, p_push.expires_at
    from (
        select m.user_id
        -- Enough to find fifty whose phone can ring among them, never all.
        from
            dispatch.choose_recipients(p_push.request_id, 500, p_now)
            with ordinality as c (mechanic_id, score, reasons, place)
        inner join dispatch.mechanics as m on m.id = c.mechanic_id
        where
            not dispatch.is_online(m, p_now)
            and exists (select from dispatch.devices as d where d.user_id = m.user_id)
        order by c.place
        limit 50
    ) as best
    inner join dispatch.devices as d on d.user_id = best.user_id;
    update dispatch.pushes set finished_at = p_now, outcome = 'addressed' where id = p_push.id;
end;
$$;

comment on function dispatch.choose_devices(dispatch.pushes, timestamptz) is
'Addresses the push of a broadcast to the devices of the fifty best at p_now who are not online.';
revoke all on function dispatch.choose_devices(dispatch.pushes, timestamptz)
from public, anon, authenticated, service_role;
