-- Comments and grants of the hooks, the same whichever layer's body they have.
comment on function dispatch.favorites_priority_enabled() is
'The flag ENABLE_FAVORITES_PRIORITY. Turned by dispatch.set_favorites_priority(boolean).';
revoke all on function dispatch.favorites_priority_enabled()
from public, anon, authenticated, service_role;

comment on function dispatch.priority_window(public.session_requests) is
'The window of a request not yet broadcast: for whom, minutes, end. Nulls: it has none.';
revoke all on function dispatch.priority_window(public.session_requests)
from public, anon, authenticated, service_role;

comment on function dispatch.route_request() is
'Trigger: decides, once and for every writer, where a new pending request goes.';
revoke all on function dispatch.route_request() from public, anon, authenticated, service_role;

comment on function dispatch.log_new_request() is
'Trigger: logs where a new request went: to the preferred mechanic, or to everyone.';
revoke all on function dispatch.log_new_request() from public, anon, authenticated, service_role;

comment on function dispatch.pending_windows(timestamptz, integer) is
'Requests not yet broadcast whose window ends by p_before, earliest first.';
revoke all on function dispatch.pending_windows(timestamptz, integer)
from public, anon, authenticated, service_role;

comment on function dispatch.unannounced_requests(uuid) is
'Requests not yet broadcast that are open to this mechanic now, and the end of their own windows.';
revoke all on function dispatch.unannounced_requests(uuid)
from public, anon, authenticated, service_role;

comment on function dispatch.fallback_reason(public.session_requests, public.session_requests) is
'Why a request that had a window is broadcast now; null: it had none.';
revoke all on function dispatch.fallback_reason(public.session_requests, public.session_requests)
from public, anon, authenticated, service_role;
