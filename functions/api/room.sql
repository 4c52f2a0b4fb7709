-- What clients call: thin, by name, as the caller.
\ir public.accept_session_request.sql
\ir public.broadcast_session_request_now.sql
\ir public.cancel_session_request.sql
\ir public.complete_session_request.sql
\ir public.decline_session_request.sql
\ir public.get_checkout_status.sql
\ir public.get_mechanic_status.sql
\ir public.get_session_request_by_checkout.sql
\ir public.get_session_request_timeline.sql
\ir public.list_favorite_mechanics.sql
\ir public.list_open_session_requests.sql
\ir public.list_session_request_events.sql
\ir public.list_session_request_payments.sql
\ir public.prepare_checkout.sql
\ir public.process_stripe_event.sql
\ir public.request_free_session.sql
\ir public.set_presence.sql
