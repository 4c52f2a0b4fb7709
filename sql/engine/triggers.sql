-- The rules hold for every writer, so they stand at the table: how a row is routed, which changes
-- are allowed, and that each transition is logged.
create or replace trigger session_requests_route
before insert on public.session_requests
for each row execute function dispatch.route_request();

create or replace trigger session_requests_guard
before update on public.session_requests
for each row execute function dispatch.guard_request();

create or replace trigger session_requests_log_insert
after insert on public.session_requests
for each row execute function dispatch.log_new_request();

create or replace trigger session_requests_log_update
after update on public.session_requests
for each row execute function dispatch.log_request_change();

create or replace trigger session_requests_log_delete
after delete on public.session_requests
for each row when (old.status in ('pending', 'accepted'))
execute function dispatch.log_request_change();
