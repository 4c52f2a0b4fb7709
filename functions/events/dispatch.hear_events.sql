-- dispatch.list_request_events for everyone at once: for each event, who it is for.
create or replace function dispatch.hear_events(p_after bigint, p_max_rows integer default 50)
returns table (
    event_id bigint,
    event text,
    payload text,
    user_ids uuid[],
    is_on_feed boolean,
    hidden_from uuid[]
)
language plpgsql
-- volatile: the events must be read in a newer snapshot than last_settled_event_id
volatile
-- definer: nobody else can read the event log
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settled bigint := dispatch.last_settled_event_id();
begin
    return query
    select
        e.id,
        e.event,
        (e.payload - 'decline_reason')::text,
        array(
            select distinct u.user_id
            from unnest(e.topics) with ordinality as t (topic, position)
            cross join
                lateral (
                    select
                        dispatch.to_uuid(substring(t.topic from '^(?:customer|mechanic):(.*)$'))
                            as user_id
                    -- Else it is worked out anew wherever it is mentioned.
                    offset 0
                ) as u
            where
                u.user_id is not null
                and (
                    t.position = 1 and t.topic like 'customer:%'
                    or exists (
                        select from dispatch.mechanics as m
                        where m.user_id = u.user_id and m.is_approved
                    )
                )
        ),
        f.is_on_feed,
        array(
            select b.user_id
            from
                unnest(
                    dispatch.blocked_users(
                        dispatch.to_uuid(substring(e.topics[1] from '^customer:(.*)$'))
                    )
                ) as b (user_id)
            where f.is_on_feed and not dispatch.may_hear_of(e, b.user_id)
        )
    from dispatch.request_events as e
    cross join lateral (select 'session_requests_feed' = any(e.topics) as is_on_feed) as f
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

comment on function dispatch.hear_events(bigint, integer) is
'For the hub: the events after a cursor, in order, and who may hear of each now: those whom it '
'names, and if it is on the feed whoever dispatch.hear_feed lists, but not those from whom it is '
'hidden. With p_after null: the last one alone.';
revoke all on function dispatch.hear_events(bigint, integer)
from public, anon, authenticated, service_role;
