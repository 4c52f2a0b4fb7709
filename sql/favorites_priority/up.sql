-- Installs the feature on the platform; again: nothing changes. The flag stays as it is, off at
-- first: select dispatch.set_favorites_priority(true);
\set ON_ERROR_STOP on
begin;
\ir columns.sql
\ir ../../functions/dispatch.priority_window.sql
\ir ../../functions/dispatch.route_request.sql
\ir ../../functions/dispatch.log_new_request.sql
\ir ../../functions/dispatch.pending_windows.sql
\ir ../../functions/dispatch.fallback_reason.sql
\ir ../platform/hook_grants.sql
\ir ../../functions/dispatch.release_windows.sql
\ir ../../functions/dispatch.set_favorites_priority.sql
\ir triggers.sql
notify pgrst, 'reload schema';
commit;
