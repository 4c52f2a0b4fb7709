-- Installs the platform; on a database that has its tables already, adds what is missing and
-- leaves theirs as they are. Again: nothing changes, the feature and its flag included. Those who
-- book meanwhile wait for the triggers alone; whatever stops it, run it again.
\set ON_ERROR_STOP on
begin;
\ir requirements.sql
\ir refuse.sql
\ir schemas.sql
\ir tables.sql
\ir hooks.sql
\ir ../../functions/dispatch.raise_error.sql
\ir ../../functions/dispatch.to_uuid.sql
\ir ../../functions/dispatch.silent_since.sql
\ir ../../functions/dispatch.is_online.sql
\ir ../../functions/dispatch.caller_id.sql
\ir ../../functions/dispatch.accept_request.sql
\ir ../../functions/dispatch.announce_fallbacks.sql
\ir ../../functions/dispatch.booking_error.sql
\ir ../../functions/dispatch.broadcast_request_now.sql
\ir ../../functions/dispatch.cancel_refunded.sql
\ir ../../functions/dispatch.cancel_request.sql
\ir ../../functions/dispatch.choose_recipients.sql
\ir ../../functions/dispatch.complete_request.sql
\ir ../../functions/dispatch.create_free_request.sql
\ir ../../functions/dispatch.decline_request.sql
\ir ../../functions/dispatch.deliver_events.sql
\ir ../../functions/dispatch.expire_requests.sql
\ir ../../functions/dispatch.explain_routing.sql
\ir ../../functions/dispatch.first_event_id_since.sql
\ir ../../functions/dispatch.get_request_timeline.sql
\ir ../../functions/dispatch.guard_request.sql
\ir ../../functions/dispatch.health.sql
\ir ../../functions/dispatch.is_approved_mechanic.sql
\ir ../../functions/dispatch.last_settled_event_id.sql
\ir ../../functions/dispatch.list_favorites.sql
\ir ../../functions/dispatch.list_open_requests.sql
\ir ../../functions/dispatch.list_request_events.sql
\ir ../../functions/dispatch.log_request_change.sql
\ir ../../functions/dispatch.make_checkout.sql
\ir ../../functions/dispatch.mark_silent_mechanics_offline.sql
\ir ../../functions/dispatch.match_points.sql
\ir ../../functions/dispatch.may_see_request.sql
\ir ../../functions/dispatch.may_use_topic.sql
\ir ../../functions/dispatch.mechanic_status.sql
\ir ../../functions/dispatch.mechanic_words.sql
\ir ../../functions/dispatch.next_deadline.sql
\ir ../../functions/dispatch.not_pending.sql
\ir ../../functions/dispatch.policy_fingerprints.sql
\ir ../../functions/dispatch.process_stripe_event.sql
\ir ../../functions/dispatch.prune_cron_runs.sql
\ir ../../functions/dispatch.prune_events.sql
\ir ../../functions/dispatch.prune_stripe_events.sql
\ir ../../functions/dispatch.record_event.sql
\ir ../../functions/dispatch.refusal.sql
\ir ../../functions/dispatch.replay_stripe_event.sql
\ir ../../functions/dispatch.request_of_checkout.sql
\ir ../../functions/dispatch.require_mechanic.sql
\ir ../../functions/dispatch.require_own_request.sql
\ir ../../functions/dispatch.require_user.sql
\ir ../../functions/dispatch.score_match.sql
\ir ../../functions/dispatch.send_notices.sql
\ir ../../functions/dispatch.set_mechanic_presence.sql
\ir ../../functions/dispatch.shown_request.sql
\ir ../../functions/dispatch.sweep.sql
\ir ../../functions/dispatch.sweep_round.sql
\ir ../../functions/dispatch.ways_to_match.sql
\ir ../../functions/dispatch.wants_priority.sql
\ir ../../functions/public.accept_session_request.sql
\ir ../../functions/public.broadcast_session_request_now.sql
\ir ../../functions/public.cancel_session_request.sql
\ir ../../functions/public.complete_session_request.sql
\ir ../../functions/public.decline_session_request.sql
\ir ../../functions/public.get_mechanic_status.sql
\ir ../../functions/public.get_session_request_timeline.sql
\ir ../../functions/public.list_favorite_mechanics.sql
\ir ../../functions/public.list_open_session_requests.sql
\ir ../../functions/public.list_session_request_events.sql
\ir ../../functions/public.prepare_checkout.sql
\ir ../../functions/public.process_stripe_event.sql
\ir ../../functions/public.request_free_session.sql
\ir ../../functions/public.set_presence.sql
\ir policies.sql
\ir metrics.sql
\ir seed.sql
commit;
set statement_timeout = 0;
\ir indexes.sql
begin;
\ir realtime.sql
\ir schedule.sql
\ir locks.sql
\ir triggers.sql
notify pgrst, 'reload schema';
commit;
