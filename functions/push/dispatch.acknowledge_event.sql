-- Changes dispatch.pushes.
create or replace function dispatch.acknowledge_event(p_event_id bigint)
returns void
language plpgsql
volatile
-- definer: clients cannot write dispatch.pushes; only the caller's own are changed
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
begin
    update dispatch.pushes
    set finished_at = now(), outcome = 'acknowledged'
    where event_id = p_event_id and user_id = v_user_id and finished_at is null;
end;
$$;

comment on function dispatch.acknowledge_event(bigint) is 'Behind public.acknowledge_notice.';
revoke all on function dispatch.acknowledge_event(bigint)
from public, anon, authenticated, service_role;
grant execute on function dispatch.acknowledge_event(bigint) to authenticated;
