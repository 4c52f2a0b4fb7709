create or replace function dispatch.get_request_timeline(p_request_id uuid)
returns table (
    event_id bigint, event text, actor text, reason text, created_at timestamptz
)
language plpgsql
stable
-- definer: clients cannot read the event log; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id;
    perform dispatch.require_own_request(v_request, 'customer');
    return query
    select
        e.id,
        e.event,
        case
            when e.actor_id is null then 'system'
            when e.actor_id = v_request.customer_id then 'customer'
            else 'mechanic'
        end,
        e.payload ->> 'reason',
        e.created_at
    from dispatch.request_events as e
    where
        e.request_id = p_request_id
        -- Both ways are indexed: what the customer was told, and who declined.
        and (e.topics[1] = 'customer:' || v_request.customer_id or e.event = 'request_declined')
    order by e.id;
end;
$$;

comment on function dispatch.get_request_timeline(uuid) is
'Behind public.get_session_request_timeline.';
revoke all on function dispatch.get_request_timeline(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.get_request_timeline(uuid) to authenticated;
