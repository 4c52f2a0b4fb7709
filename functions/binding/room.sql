-- What the marketplace looks like. reference.sql is run by sql/engine/up.sql, unless it is given
-- another's binding.
\ir dispatch.approved_mechanic_of.sql
\ir dispatch.ask_deferred.sql
\ir dispatch.bind_requests.sql
\ir dispatch.claim_to_be.sql
\ir dispatch.favorites_priority_enabled.sql
\ir dispatch.is_approved_mechanic.sql
\ir dispatch.make_anew.sql
\ir dispatch.make_setting.sql
\ir dispatch.note_views.sql
\ir dispatch.payment_keys.sql
\ir dispatch.remember_presence.sql
\ir dispatch.request_columns.sql
\ir dispatch.require_mechanic.sql
\ir dispatch.shown_request.sql
\ir dispatch.stopped_triggers.sql
\ir dispatch.view_fingerprint.sql
\ir dispatch.watched_columns.sql
