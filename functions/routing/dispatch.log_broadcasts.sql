-- Changes dispatch.request_events. On a marketplace of ours, for a sweep: one statement for many
-- windows takes half of what dispatch.record_event takes for each, by whose rules it goes.
create or replace function dispatch.log_broadcasts(p_request_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Under its floor, which is locked before it is given, the others come.
    v_first_id constant bigint := dispatch.next_event_id();
    -- As the sweep says; else the loop sends them.
    v_is_sender constant boolean := current_setting('dispatch.delivery', true) = 'now';
    v_has_blocks constant boolean := pg_relation_size('dispatch.blocks') > 0;
    v_topics text[];
    v_payloads text[];
begin
    with broadcasts as materialized (
        select
            case
                when r.id = p_request_ids[1] then v_first_id
                else nextval('dispatch.request_events_id_seq')
            end as event_id,
            r.id,
            array['customer:' || r.customer_id, 'session_requests_feed'] as topics,
            r.session_type,
            r.plan_code,
            r.created_at,
            r.window_ends_at,
            r.is_pending,
            case
                -- As that function has it, without the price of a call for each window that ends.
                when
                    r.announced_at >= r.window_ends_at
                    and dispatch.favorites_priority_enabled()
                    and exists (
                        select from dispatch.mechanics as m
                        where
                            m.id = r.preferred_mechanic_id
                            and m.is_approved and m.user_id is not null
                    )
                    then 'window_ended'
                else dispatch.fallback_reason(r, r.announced_at)
            end as reason
        from dispatch.requests as r
        where r.id = any(p_request_ids)
    ),

    logged as (
        insert into dispatch.request_events (
            id, request_id, event, actor_id, topics, payload, delivered_at
        )
        overriding system value
        select
            b.event_id,
            b.id,
            'new_request',
            auth.uid(),
            b.topics,
            jsonb_build_object(
                'event', 'new_request',
                'event_id', b.event_id,
                'request_id', b.id,
                'priority', false,
                'window_minutes', null,
                -- For whoever asks how late the sweep was.
                'window_ends_at', case when b.reason = 'window_ended' then b.window_ends_at end,
                'session_type', left(b.session_type, 64),
                'plan_code', left(b.plan_code, 64),
                'created_at', b.created_at,
                'is_fallback_broadcast', true,
                'reason', b.reason
            ),
            case
                when v_is_sender and not (v_has_blocks and dispatch.is_spread(b.topics))
                    then clock_timestamp()
            end
        from broadcasts as b
        -- What a trigger of the marketplace's has ended since is not told as new.
        where b.is_pending
        returning topics, payload::text, delivered_at
    )

    select array_agg(t.topic), array_agg(l.payload) into v_topics, v_payloads
    from logged as l
    cross join unnest(l.topics) as t (topic)
    where l.delivered_at is not null;
    if v_topics is not null then
        perform dispatch.send_notices(
            v_topics,
            array_fill('new_request'::text, array[cardinality(v_topics)]),
            v_payloads
        );
    end if;
end;
$$;

comment on function dispatch.log_broadcasts(uuid[]) is
'Logs that these requests, whose windows a sweep has found to be over, are everyone''s now.';
revoke all on function dispatch.log_broadcasts(uuid[])
from public, anon, authenticated, service_role;
