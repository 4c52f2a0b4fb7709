-- Plans, checkouts and Stripe.
\ir dispatch.book_theirs.sql
\ir dispatch.booking_error.sql
\ir dispatch.cancel_refunded.sql
\ir dispatch.create_free_request.sql
\ir dispatch.make_checkout.sql
\ir dispatch.process_stripe_event.sql
\ir dispatch.replay_stripe_event.sql
\ir dispatch.request_of_checkout.sql
