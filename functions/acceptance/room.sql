-- What becomes of a request: accept, decline, complete, cancel, and the guards on the table.
\ir dispatch.accept_request.sql
\ir dispatch.accepted_before.sql
\ir dispatch.broadcast_request_now.sql
\ir dispatch.cancel_request.sql
\ir dispatch.complete_request.sql
\ir dispatch.decline_request.sql
\ir dispatch.follow_change.sql
\ir dispatch.get_request_timeline.sql
\ir dispatch.guard_request.sql
\ir dispatch.guard_reservation.sql
\ir dispatch.lock_sessions.sql
\ir dispatch.log_request_change.sql
\ir dispatch.not_pending.sql
\ir dispatch.require_own_request.sql
