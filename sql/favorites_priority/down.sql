-- Takes the feature out again: the platform's schema is then what it was before up.sql.
-- Open windows are broadcast first, so that no request is left waiting for a favourite.
\set ON_ERROR_STOP on
begin;
-- Nothing may be booked for a favourite between the broadcast and the end of the columns.
lock table public.session_requests in access exclusive mode;
select dispatch.set_favorites_priority(false);
drop trigger mechanics_release_windows on public.mechanics;
drop function dispatch.release_windows();
drop function dispatch.set_favorites_priority(boolean);
\ir ../platform/hooks.sql
drop index public.session_requests_priority_deadline_idx;
drop index public.session_requests_priority_notified_idx;
drop index public.session_requests_preferred_mechanic_idx;
alter table public.session_requests
drop column preferred_mechanic_id,
drop column priority_window_minutes,
drop column priority_notified_at;
notify pgrst, 'reload schema';
commit;
