-- Plans, checkouts and Stripe.
\ir dispatch.book_theirs.sql
\ir dispatch.booking_error.sql
\ir dispatch.cancel_refunded.sql
\ir dispatch.checkout_customer.sql
\ir dispatch.checkout_status.sql
\ir dispatch.create_free_request.sql
\ir dispatch.expected_stripe_event.sql
\ir dispatch.follow_payment.sql
\ir dispatch.get_request_by_checkout.sql
\ir dispatch.list_payments.sql
\ir dispatch.make_checkout.sql
\ir dispatch.marketplace_error.sql
\ir dispatch.price_difference.sql
\ir dispatch.process_stripe_event.sql
\ir dispatch.replay_stripe_event.sql
\ir dispatch.request_of_checkout.sql
\ir dispatch.tidy_notes.sql
