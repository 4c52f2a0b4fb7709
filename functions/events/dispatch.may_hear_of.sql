create or replace function dispatch.may_hear_of(
    p_event dispatch.request_events,
    p_user_id uuid
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The customer's topic comes first. What was for this mechanic, or was about a request that is
    -- theirs, is between the two, and stays.
    return 'mechanic:' || p_user_id = any(p_event.topics)
        or not dispatch.is_blocked(
            p_user_id, dispatch.to_uuid(substring(p_event.topics[1] from '^customer:(.*)$'))
        )
        or exists (
            select from dispatch.requests as r
            where r.id = p_event.request_id and r.mechanic_user_id = p_user_id
        );
end;
$$;

comment on function dispatch.may_hear_of(dispatch.request_events, uuid) is
'Whether this mechanic may hear of an event on their topics: its customer is not blocked.';
revoke all on function dispatch.may_hear_of(dispatch.request_events, uuid)
from public, anon, authenticated, service_role;
