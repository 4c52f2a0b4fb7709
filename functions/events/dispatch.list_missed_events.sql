create or replace function dispatch.list_missed_events(
    p_claims jsonb, p_role text, p_after bigint, p_max_rows integer
)
returns table (event_id bigint, event text, payload text)
language plpgsql
-- volatile: as dispatch.list_request_events
volatile
-- definer: as dispatch.admit_listener
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.admit_listener(p_claims, p_role);
    return query
    select e.event_id, e.event, e.payload::text
    from dispatch.list_request_events(p_after, p_max_rows) as e;
end;
$$;

comment on function dispatch.list_missed_events(jsonb, text, bigint, integer) is
'For the hub: public.list_session_request_events for the user of a token that it has verified.';
revoke all on function dispatch.list_missed_events(jsonb, text, bigint, integer)
from public, anon, authenticated, service_role;
