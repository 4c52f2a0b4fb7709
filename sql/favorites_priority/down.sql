-- Takes the feature out again: the platform's schema is then what it was before up.sql. Requests
-- whose windows are open are broadcast first. The three columns go with what they hold; what the
-- event log does not have of it is given up only if that is confirmed:
--   psql "$DATABASE_URL" -X -c "set favorites_priority.confirm_down = yes" -f down.sql
\set ON_ERROR_STOP on
\ir confirm_down.sql
-- Not yet under a lock: nobody has to wait while many windows are broadcast. If no lock is to be
-- had after that, the feature is still installed, and turned off.
select dispatch.set_favorites_priority(false);
begin;
\ir ../platform/locks.sql
-- Again, for what came between: nothing may be booked for a favourite until the columns are gone.
\ir confirm_down.sql
select dispatch.set_favorites_priority(false);
drop trigger mechanics_release_windows on public.mechanics;
drop function dispatch.release_windows();
drop function dispatch.set_favorites_priority(boolean);
\ir ../platform/hooks.sql
commit;
-- By itself, and quick. Nobody uses the columns now, but whoever is in the middle of a call that
-- returns a request would get one of another shape than it began with, and is refused.
begin;
\ir ../platform/locks.sql
drop index public.session_requests_priority_deadline_idx;
drop index public.session_requests_priority_notified_idx;
drop index public.session_requests_preferred_mechanic_idx;
alter table public.session_requests
drop column preferred_mechanic_id,
drop column priority_window_minutes,
drop column priority_notified_at;
commit;
notify pgrst, 'reload schema';
