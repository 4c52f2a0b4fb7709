-- Changes dispatch.request_events.delivered_at; sends NOTIFY and, on Supabase, Broadcast.
-- At least once: the notices leave with the commit that marks them as delivered.
create or replace function dispatch.deliver_events(p_limit integer default 1000)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    -- A name in a schema that may not be used raises, even here.
    v_broadcast boolean := case
        when has_schema_privilege(to_regnamespace('realtime'), 'usage')
            then to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null
    end;
    v_event record;
    v_topic text;
    v_count integer := 0;
begin
    -- Beyond this a NOTIFY may fail its commit; wait until the listeners have read.
    if pg_notification_queue_usage() > 0.9 then
        return 0;
    end if;

    for v_event in
        -- By ctid, as the rows are locked: no plan made while the log was short can go wrong.
        with delivered as (
            update dispatch.request_events as e
            set delivered_at = clock_timestamp()
            where
                e.ctid = any(array(
                    select due.ctid from dispatch.request_events as due
                    where due.delivered_at is null
                    order by due.delivered_at, due.id
                    limit p_limit
                    for update skip locked
                ))
            returning e.id, e.event, e.topics, e.payload
        )

        select * from delivered order by id
    loop
        foreach v_topic in array v_event.topics
        loop
            perform pg_notify(v_topic, (v_event.payload - 'decline_reason')::text);
            if v_broadcast then
                perform dispatch.broadcast_event(
                    v_event.payload - 'decline_reason', v_event.event, v_topic
                );
            end if;
        end loop;
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;

comment on function dispatch.deliver_events(integer) is
'Sends the notices of up to p_limit undelivered events, oldest first. Returns how many events.';
revoke all on function dispatch.deliver_events(integer)
from public, anon, authenticated, service_role;
