-- Changes other requests than this one, through dispatch.requests. Called before and after what may
-- change how many sessions these mechanics have, and only where there is a limit.
create or replace function dispatch.follow_capacity(p_request_id uuid, p_assigned_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid;
begin
    for v_mechanic_id in
        select m.id from dispatch.mechanics as m
        where
            case when dispatch.assigns_user_id() then m.user_id else m.id end = any(p_assigned_ids)
    loop
        perform dispatch.write_turns(array[v_mechanic_id], null, p_request_id);
        perform dispatch.end_lost_windows(v_mechanic_id, p_request_id);
    end loop;
end;
$$;

comment on function dispatch.follow_capacity(uuid, uuid[]) is
'For a change of this request that begins or ends a session of these mechanics (the ids that '
'session_requests.mechanic_id has): what was by the clock until now is written, and who is at '
'capacity loses the other windows.';
revoke all on function dispatch.follow_capacity(uuid, uuid[])
from public, anon, authenticated, service_role;
