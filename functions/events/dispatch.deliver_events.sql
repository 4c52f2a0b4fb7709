-- Changes dispatch.request_events.delivered_at; sends NOTIFY and, on Supabase, Broadcast.
-- At least once: the notices leave with the commit that marks them as delivered.
create or replace function dispatch.deliver_events(p_limit integer default 1000)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
    -- One element each for a notice: an event to one of its topics.
    v_topics text[];
    v_events text[];
    v_payloads text[];
    -- Of those that go to each mechanic by name one at a time: the others do not wait for many.
    v_has_blocks constant boolean := (
        pg_relation_size('dispatch.blocks') > 0 and dispatch.governs_all()
    );
    v_spread_id bigint;
begin
    -- Beyond this a NOTIFY may fail its commit; wait until the listeners have read.
    if pg_notification_queue_usage() > 0.9 then
        return 0;
    end if;

    if v_has_blocks then
        select w.id into v_spread_id
        from (
            select due.id, due.topics, due.delivered_at
            from dispatch.request_events as due
            where due.delivered_at is null
            order by due.delivered_at, due.id
            limit 1000
        ) as w
        where dispatch.is_spread(w.topics)
        order by w.delivered_at, w.id
        limit 1;
    end if;

    -- By ctid, as the rows are locked: no plan made while the log was short can go wrong.
    with delivered as (
        update dispatch.request_events as e
        set delivered_at = clock_timestamp()
        where
            e.ctid = any(array(
                select due.ctid from dispatch.request_events as due
                where
                    due.delivered_at is null
                    and (
                        not v_has_blocks or due.id = v_spread_id
                        or not dispatch.is_spread(due.topics)
                    )
                order by due.delivered_at, due.id
                limit p_limit
                for update skip locked
            ))
        returning e.id, e.event, e.topics, (e.payload - 'decline_reason')::text as payload
    )

    select
        count(distinct n.id)::integer, array_agg(n.topic), array_agg(n.event), array_agg(n.payload)
    into v_count, v_topics, v_events, v_payloads
    from (
        select d.id, t.topic, d.event, d.payload
        from delivered as d
        cross join unnest(d.topics) with ordinality as t (topic, position)
        order by d.id, t.position
    ) as n;

    if v_count > 0 then
        perform setval(
            'dispatch.last_delivery', (date_part('epoch', clock_timestamp()) * 1000)::bigint
        );
        perform dispatch.send_notices(v_topics, v_events, v_payloads);
    end if;
    return v_count;
end;
$$;

comment on function dispatch.deliver_events(integer) is
'Sends the notices of up to p_limit undelivered events, oldest first. Returns how many events.';
revoke all on function dispatch.deliver_events(integer)
from public, anon, authenticated, service_role;
