-- Changes dispatch.pushes. The same arrays as dispatch.send_notices, whose commit also queues them.
create or replace function dispatch.queue_pushes(
    p_topics text[],
    p_events text[],
    p_payloads text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into dispatch.pushes (
        event_id, request_id, user_id, endpoint, is_reminder, due_at, expires_at
    )
    select
        (n.payload ->> 'event_id')::bigint,
        (n.payload ->> 'request_id')::uuid,
        n.user_id,
        d.endpoint,
        k.is_reminder,
        case when k.is_reminder then n.ends_at - n.window / 2 else now() end,
        -- A window's push is of no use after it; a broadcast's, when it is long taken.
        coalesce(
            n.ends_at,
            now() + case when n.user_id is null then interval '1 hour' else interval '1 day' end
        )
    from (
        select
            u.event,
            p.payload,
            split_part(u.topic, ':', 1) as audience,
            nullif(split_part(u.topic, ':', 2), '')::uuid as user_id,
            case
                when u.event = 'priority_request'
                    then (p.payload ->> 'window_ends_at')::timestamptz
            end as ends_at,
            make_interval(mins => (p.payload ->> 'window_minutes')::integer) as window
        from unnest(p_topics, p_events, p_payloads) as u (topic, event, payload)
        cross join lateral (select u.payload::jsonb as payload) as p
    ) as n
    left join dispatch.devices as d on d.user_id = n.user_id
    cross join (values (false), (true)) as k (is_reminder)
    where
        -- Of everyone, who is best is looked up when it is sent (dispatch.claim_pushes).
        (n.user_id is null or d.endpoint is not null)
        and case n.audience || ' ' || n.event
            when 'mechanic priority_request' then n.ends_at > now()
            when 'session_requests_feed new_request' then not k.is_reminder
            when 'customer new_request'
                then not k.is_reminder and n.payload @> '{"is_fallback_broadcast": true}'
            when 'customer request_accepted' then not k.is_reminder
            when 'customer request_released' then not k.is_reminder
            when 'customer request_cancelled' then not k.is_reminder
            else false
        end
    order by 1, k.is_reminder;
    if found then
        perform pg_notify('dispatch_pushes', '');
    end if;
end;
$$;

comment on function dispatch.queue_pushes(text[], text[], text[]) is
'Queues Web Push for those of these notices whose reader may have a closed app: a favourite (and '
'once more at half time), the best of everyone, a customer. One element each of the arrays for a '
'notice.';
revoke all on function dispatch.queue_pushes(text[], text[], text[])
from public, anon, authenticated, service_role;
