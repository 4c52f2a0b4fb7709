create or replace function dispatch.with_window_of(
    p_request dispatch.requests,
    p_other dispatch.requests
)
returns dispatch.requests
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    p_request.preferred_mechanic_id := p_other.preferred_mechanic_id;
    p_request.preferred_user_id := p_other.preferred_user_id;
    p_request.window_minutes := p_other.window_minutes;
    p_request.window_began_at := p_other.window_began_at;
    p_request.window_ends_at := p_other.window_ends_at;
    return p_request;
end;
$$;

comment on function dispatch.with_window_of(dispatch.requests, dispatch.requests) is
'A request with the window that it had in another state of it.';
revoke all on function dispatch.with_window_of(dispatch.requests, dispatch.requests)
from public, anon, authenticated, service_role;
