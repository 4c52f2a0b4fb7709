-- dispatch.list_request_events for many users at once: for each event, who of them it lists it for.
create or replace function dispatch.hear_events(
    p_after bigint, p_user_ids uuid[], p_max_rows integer default 50
)
returns table (event_id bigint, event text, payload text, user_ids uuid[])
language plpgsql
-- volatile: the events must be read in a newer snapshot than last_settled_event_id
volatile
-- definer: nobody else can read the event log
security definer
set search_path = pg_catalog, pg_temp
-- A plan for any number of users would look each of thousands up by itself.
set plan_cache_mode = force_custom_plan
as $$
declare
    v_settled bigint := dispatch.last_settled_event_id();
begin
    return query
    with mechanics as materialized (
        select
            l.user_id,
            exists (select from dispatch.blocks as b where b.user_id = l.user_id) as has_blocks
        from unnest(p_user_ids) as l (user_id)
        where
            exists (
                select from dispatch.mechanics as m
                where m.user_id = l.user_id and m.is_approved
            )
    )

    select
        e.id,
        e.event,
        (e.payload - 'decline_reason')::text,
        n.user_ids || array(
            select m.user_id
            from mechanics as m
            where
                'session_requests_feed' = any(e.topics)
                and m.user_id <> all(n.user_ids)
                and (not m.has_blocks or dispatch.may_hear_of(e, m.user_id))
        )
    from dispatch.request_events as e
    cross join
        lateral (
            -- Whom it names.
            select
                coalesce(array_agg(distinct t.user_id), '{}') as user_ids
            from (
                select
                    dispatch.to_uuid(substring(u.topic from '^(?:customer|mechanic):(.*)$'))
                        as user_id,
                    u.position = 1 and u.topic like 'customer:%' as is_customer
                from unnest(e.topics) with ordinality as u (topic, position)
            ) as t
            where
                t.user_id is not null
                and (t.is_customer or dispatch.approved_mechanic_of(t.user_id) is not null)
        ) as n
    where
        e.id <= v_settled
        and e.id > coalesce(
            p_after,
            (
                select last.id - 1 from dispatch.request_events as last
                where last.id <= v_settled
                order by last.id desc
                limit 1
            )
        )
    order by e.id
    limit p_max_rows;
end;
$$;

comment on function dispatch.hear_events(bigint, uuid[], integer) is
'For the hub: the events after a cursor, in order, and for each who may hear of it now: those whom '
'it names, and of the feed whoever of p_user_ids may. With p_after null: the last one alone.';
revoke all on function dispatch.hear_events(bigint, uuid[], integer)
from public, anon, authenticated, service_role;
