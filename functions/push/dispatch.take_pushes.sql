-- Changes dispatch.pushes.
create or replace function dispatch.take_pushes(
    p_limit integer default 100,
    p_lease interval default '00:00:30',
    p_now timestamptz default now()
)
returns table (
    push_id bigint, endpoint text, p256dh text, auth text, payload text, ttl integer, urgency text,
    topic text
)
language plpgsql
volatile
-- definer: the sender's role has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_push dispatch.pushes;
    v_device dispatch.devices;
    v_event record;
    v_request dispatch.requests;
    v_outcome text;
begin
    for v_push in
        select * from dispatch.pushes as p
        where p.finished_at is null and p.endpoint is null and p.due_at <= p_now
        order by p.due_at
        limit 10
        for update skip locked
    loop
        perform dispatch.choose_devices(v_push, p_now);
    end loop;

    for v_push in
        select * from dispatch.due_pushes(least(greatest(p_limit, 0), 1000), p_now)
    loop
        select * into v_device from dispatch.devices as d
        -- Another's by now: not told what was for the one before.
        where d.endpoint = v_push.endpoint and d.user_id = v_push.user_id;
        select e.event, e.payload into v_event
        from dispatch.request_events as e
        where e.id = v_push.event_id;
        select * into v_request from dispatch.requests as r where r.id = v_push.request_id;
        v_outcome := case
            when v_device.endpoint is null then 'gone'
            when
                v_event.event is null
                or dispatch.push_is_over(v_push, v_request, v_event.event, p_now)
                then 'over'
        end;
        if v_outcome is null then
            -- Who was told as its mechanic, or its customer, may be the other by now: a writer may give
            -- a request another customer, as when two accounts are made one.
            payload := dispatch.push_payload(
                v_push.event_id,
                v_event.event,
                case when v_push.user_id = v_request.customer_id then 'customer' else 'mechanic' end,
                v_event.payload,
                p_now
            )::text;
            v_outcome := case when payload is null then 'over' end;
        end if;
        if v_outcome is not null then
            update dispatch.pushes set finished_at = p_now, outcome = v_outcome
            where id = v_push.id;
            continue;
        end if;

        -- Not finished by then, it is somebody else's turn.
        update dispatch.pushes
        set due_at = p_now + p_lease, attempts = attempts + 1
        where id = v_push.id;
        push_id := v_push.id;
        endpoint := v_device.endpoint;
        p256dh := v_device.p256dh;
        auth := v_device.auth;
        ttl := greatest(1, floor(extract(epoch from v_push.expires_at - p_now))::integer);
        urgency := case v_event.event when 'request_cancelled' then 'normal' else 'high' end;
        -- A newer one of the same request takes the place of one not delivered yet.
        topic := replace(v_push.request_id::text, '-', '');
        return next;
    end loop;
end;
$$;

comment on function dispatch.take_pushes(integer, interval, timestamptz) is
'Behind public.claim_pushes.';
revoke all on function dispatch.take_pushes(integer, interval, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function dispatch.take_pushes(integer, interval, timestamptz) to service_role;
