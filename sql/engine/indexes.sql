-- Built while others write: see sql/marketplace/indexes.sql.

-- dispatch.exclusions. Of few requests there is one, so that most events do not touch this index.
-- Whose they are is read from the topics that it has with it: of an expression every insert makes a
-- copy, whether or not it has to do with this index.
create index concurrently if not exists request_events_excluded_idx
on dispatch.request_events (request_id) include (topics)
where event in ('request_declined', 'request_released');

-- Those that it took the place of.
drop index concurrently if exists dispatch.request_events_declined_idx;
drop index concurrently if exists dispatch.request_events_exclusions_idx;

-- A customer's catch-up and timelines: the customer's topic always comes first in topics.
create index concurrently if not exists request_events_first_topic_idx
on dispatch.request_events ((topics[1]), id);

-- delivered_at leads, so that no other index can serve the order and be chosen by mistake.
create index concurrently if not exists request_events_undelivered_idx
on dispatch.request_events (delivered_at, id) where delivered_at is null;

create index concurrently if not exists stripe_events_unprocessed_idx
on dispatch.stripe_events (received_at) where processed_at is null;

-- What retention deletes, oldest first.
create index concurrently if not exists stripe_events_received_at_idx
on dispatch.stripe_events (received_at);

-- What became of a payment: a refund that came before its payment is found by the payment it names,
-- a page's question by the Checkout Session, and what somebody must look at by its outcome.
create index concurrently if not exists stripe_events_subject_idx
on dispatch.stripe_events (outcome, subject) where subject is not null;

-- The one that it took the place of.
drop index concurrently if exists dispatch.stripe_events_refunded_payment_idx;

-- The sweep's, on a marketplace that was there first: the next window to end comes first.
create index concurrently if not exists windows_ends_at_idx
on dispatch.windows (ends_at) where announced_at is null and closed_at is null;

-- Whoever is suspended, or gone, loses what was to come.
create index concurrently if not exists steps_mechanic_id_idx on dispatch.steps (mechanic_id);

create index concurrently if not exists devices_user_id_idx
on dispatch.devices (user_id, registered_at);

-- The sender's: what is due, and of that what is addressed to nobody yet.
create index concurrently if not exists pushes_due_idx
on dispatch.pushes (due_at, id) where finished_at is null;

create index concurrently if not exists pushes_unaddressed_idx
on dispatch.pushes (due_at) where finished_at is null and endpoint is null;

-- What a person has seen.
create index concurrently if not exists pushes_event_id_idx
on dispatch.pushes (event_id) where finished_at is null;

-- What retention deletes.
create index concurrently if not exists pushes_finished_at_idx
on dispatch.pushes (finished_at) where finished_at is not null;
