-- Installs the feature on the platform; again: nothing changes. The flag stays as it is, off at
-- first: select dispatch.set_favorites_priority(true). Those who book meanwhile wait for the
-- columns and for the triggers; whatever stops it, run it again.
\set ON_ERROR_STOP on
begin;
\ir ../platform/requirements.sql
\ir requirements.sql
\ir ../platform/refuse.sql
\ir ../platform/locks.sql
\ir columns.sql
commit;
\ir column_grants.sql
set statement_timeout = 0;
\ir indexes.sql
begin;
\ir ../../functions/dispatch.priority_window.sql
\ir ../../functions/dispatch.route_request.sql
\ir ../../functions/dispatch.log_new_request.sql
\ir ../../functions/dispatch.pending_windows.sql
\ir ../../functions/dispatch.unannounced_requests.sql
\ir ../../functions/dispatch.fallback_reason.sql
\ir ../platform/hook_grants.sql
\ir ../../functions/dispatch.release_windows.sql
\ir ../../functions/dispatch.set_favorites_priority.sql
\ir ../platform/locks.sql
\ir triggers.sql
\ir fingerprint.sql
notify pgrst, 'reload schema';
commit;
