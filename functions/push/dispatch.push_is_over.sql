-- Asked when a push is about to leave, so that nothing is told of what is not so any more.
create or replace function dispatch.push_is_over(
    p_push dispatch.pushes,
    p_request dispatch.requests,
    p_event text,
    p_now timestamptz
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic record;
begin
    if p_request.id is null or p_push.expires_at <= p_now then
        return true;
    elsif p_request.customer_id = p_push.user_id then
        return case p_event
            when 'new_request' then not p_request.is_pending
            when 'request_released' then not p_request.is_pending
            when 'request_accepted' then p_request.status <> 'accepted'
            else false
        end
        -- Who did it themselves knows.
        or exists (
            select from dispatch.request_events as e
            where
                e.id = p_push.event_id and e.actor_id = p_push.user_id
                and e.event in ('request_released', 'request_cancelled')
        );
    end if;
    select m.id, m.is_approved into v_mechanic
    from dispatch.mechanics as m
    where m.user_id = p_push.user_id
    order by m.is_approved desc
    limit 1;
    return v_mechanic.is_approved is not true
        or dispatch.refusal(p_request, v_mechanic.id, p_push.user_id, p_now) is not null;
end;
$$;

comment on function dispatch.push_is_over(dispatch.pushes, dispatch.requests, text, timestamptz) is
'Whether what a push says of an event does not hold any more at p_now: the request is not open to '
'that mechanic, or the customer waits for it no more.';
revoke all on function dispatch.push_is_over(dispatch.pushes, dispatch.requests, text, timestamptz)
from public, anon, authenticated, service_role;
