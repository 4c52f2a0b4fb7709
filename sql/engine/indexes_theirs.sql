-- On a marketplace that was there first the ledger knows which Checkout Session booked which
-- request: one for each, however often its events come. (Ours has it in the request's metadata.)
create unique index concurrently if not exists stripe_events_checkout_key
on dispatch.stripe_events ((payload #>> '{data,object,id}')) where outcome = 'request_created';

-- A refund names the payment.
create index concurrently if not exists stripe_events_payment_idx
on dispatch.stripe_events ((payload #>> '{data,object,payment_intent}'))
where outcome = 'request_created';

create index concurrently if not exists stripe_events_request_id_idx
on dispatch.stripe_events (request_id) where outcome = 'request_created';
