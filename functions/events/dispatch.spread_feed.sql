-- A channel that everyone listens to cannot leave one out: what is on the feed, of a customer whom
-- somebody is not to hear of, goes to each of the others by name.
create or replace function dispatch.spread_feed(
    p_topics text[],
    p_events text[],
    p_payloads text[],
    out topics text[],
    out events text[],
    out payloads text[]
)
returns record
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    select
        coalesce(array_agg(t.topic order by n.place), '{}'),
        coalesce(array_agg(n.event order by n.place), '{}'),
        coalesce(array_agg(n.payload order by n.place), '{}')
    into topics, events, payloads
    from
        unnest(p_topics, p_events, p_payloads)
        with ordinality as n (topic, event, payload, place)
    left join dispatch.request_events as e
        on
            n.topic = 'session_requests_feed'
            and e.id = (n.payload::jsonb ->> 'event_id')::bigint
    cross join
        lateral (
            select
                dispatch.blocked_users(
                    dispatch.to_uuid(substring(e.topics[1] from '^customer:(.*)$'))
                ) as users
        ) as b
    cross join
        lateral (
            select n.topic where b.users = '{}'
            union all
            select 'mechanic:' || m.user_id
            from dispatch.mechanics as m
            where
                b.users <> '{}' and m.is_approved and m.user_id <> all(b.users)
                -- Told already.
                and 'mechanic:' || m.user_id <> all(e.topics)
        ) as t;
end;
$$;

comment on function dispatch.spread_feed(text[], text[], text[]) is
'These notices, and in place of one on the feed that somebody is not to hear of one for each '
'approved mechanic who may.';
revoke all on function dispatch.spread_feed(text[], text[], text[])
from public, anon, authenticated, service_role;
