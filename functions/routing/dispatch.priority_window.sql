-- A window is over at once when its mechanic is gone or no longer approved, when the flag is off,
-- and when the request was broadcast. Nothing here depends on the sweep having run.
create or replace function dispatch.priority_window(
    p_request dispatch.requests,
    out mechanic_id uuid,
    out window_minutes integer,
    out ends_at timestamptz
)
returns record
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if
        p_request.announced_at is null
        and p_request.preferred_mechanic_id is not null
        and p_request.window_began_at is not null
        and dispatch.favorites_priority_enabled()
        and dispatch.is_approved_mechanic(p_request.preferred_mechanic_id)
    then
        mechanic_id := p_request.preferred_mechanic_id;
        window_minutes := p_request.window_minutes;
        ends_at := p_request.window_ends_at;
    end if;
end;
$$;

comment on function dispatch.priority_window(dispatch.requests) is
'The window of a request not yet broadcast: for whom, minutes, end. Nulls: it has none.';
revoke all on function dispatch.priority_window(dispatch.requests)
from public, anon, authenticated, service_role;
