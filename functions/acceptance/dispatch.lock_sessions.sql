-- Only where there is a limit. After the request's own row or before it, but not both: whoever
-- holds that of another waits for nobody's.
create or replace function dispatch.lock_sessions(p_assigned_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not the mechanic's row: a heartbeat, and bookings that ask for them, need not wait.
    perform pg_advisory_xact_lock(hashtextextended('sessions of ' || p_assigned_id, 1178687058));
end;
$$;

comment on function dispatch.lock_sessions(uuid) is
'Of several accepts by one mechanic at once (the id that session_requests.mechanic_id has) each '
'sees what those before it took. Until the transaction ends.';
revoke all on function dispatch.lock_sessions(uuid)
from public, anon, authenticated, service_role;
