create or replace function dispatch.list_request_events(p_after bigint, p_max_rows integer)
returns table (
    event_id bigint, event text, request_id uuid, payload jsonb, created_at timestamptz
)
language plpgsql
-- volatile: the events must be read in a newer snapshot than last_settled_event_id
volatile
-- definer: clients cannot read the event log; only the caller's own topics are listed
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
    v_customer text := 'customer:' || v_user_id;
    v_topics text[] := array['session_requests_feed', 'mechanic:' || v_user_id, v_customer];
    v_blocked uuid[];
    v_settled constant bigint := dispatch.last_settled_event_id();
begin
    if dispatch.approved_mechanic_of(v_user_id) is not null then
        v_blocked := dispatch.blocked_users(v_user_id);
        return query
        select e.id, e.event, e.request_id, e.payload - 'decline_reason', e.created_at
        from dispatch.request_events as e
        where
            e.id > coalesce(
                p_after,
                (
                    select last.id - 1 from dispatch.request_events as last
                    where last.id <= v_settled and last.topics && v_topics
                        and (v_blocked = '{}' or dispatch.may_hear_of(last, v_user_id))
                    order by last.id desc
                    limit 1
                )
            )
            and e.id <= v_settled and e.topics && v_topics
            and (v_blocked = '{}' or dispatch.may_hear_of(e, v_user_id))
        order by e.id
        limit least(greatest(coalesce(p_max_rows, 100), 0), 1000);
    else
        -- A customer's topic comes first in topics: an index finds them at once.
        return query
        select e.id, e.event, e.request_id, e.payload - 'decline_reason', e.created_at
        from dispatch.request_events as e
        where
            e.id > coalesce(
                p_after,
                (
                    select last.id - 1 from dispatch.request_events as last
                    where last.id <= v_settled and last.topics[1] = v_customer
                    order by last.id desc
                    limit 1
                )
            )
            and e.id <= v_settled and e.topics[1] = v_customer
        order by e.id
        limit least(greatest(coalesce(p_max_rows, 100), 0), 1000);
    end if;
end;
$$;

comment on function dispatch.list_request_events(bigint, integer) is
'Behind public.list_session_request_events.';
revoke all on function dispatch.list_request_events(bigint, integer)
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_request_events(bigint, integer) to authenticated;
