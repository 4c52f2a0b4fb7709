-- On a marketplace that was there first. The conditions keep every statement that names no
-- favourite free of ours, and are short, as PostgreSQL reads each anew in every statement. By their
-- names the guard comes before and after theirs, and the window is opened after theirs. What is
-- logged comes before theirs: those that write the row again, as one that hands each new request to
-- somebody, find it governed.
-- (As an earlier up.sql named them.)
drop trigger if exists zzz_dispatch_log_insert on public.session_requests;
drop trigger if exists zzz_dispatch_log_update on public.session_requests;
drop trigger if exists zzz_dispatch_log_delete on public.session_requests;

create or replace trigger "00_dispatch_guard"
before update on public.session_requests
for each row when (old.priority_notified_at is not null)
execute function dispatch.guard_reservation();

create or replace trigger zzz_dispatch_guard
before update on public.session_requests
for each row when (old.priority_notified_at is not null)
execute function dispatch.guard_reservation();

create or replace trigger zzz_dispatch_open_window
before insert on public.session_requests
for each row when (new.preferred_mechanic_id is not null)
execute function dispatch.route_request();

create or replace trigger "00_dispatch_log_insert"
after insert on public.session_requests
for each row when (new.preferred_mechanic_id is not null)
execute function dispatch.log_window();

create or replace trigger "00_dispatch_log_update"
after update on public.session_requests
for each row when (old.priority_notified_at is not null)
execute function dispatch.log_request_change();

create or replace trigger "00_dispatch_log_delete"
after delete on public.session_requests
for each row when (old.priority_notified_at is not null)
execute function dispatch.log_request_change();
