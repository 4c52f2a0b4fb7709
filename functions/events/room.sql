-- The log of what happened, and its delivery.
\ir dispatch.admit_listener.sql
\ir dispatch.claim_delivery.sql
\ir dispatch.deliver_events.sql
\ir dispatch.first_event_id_since.sql
\ir dispatch.hear_events.sql
\ir dispatch.is_spread.sql
\ir dispatch.last_settled_event_id.sql
\ir dispatch.list_missed_events.sql
\ir dispatch.list_request_events.sql
\ir dispatch.may_hear_of.sql
\ir dispatch.may_use_topic.sql
\ir dispatch.next_event_id.sql
\ir dispatch.queue_pushes.sql
\ir dispatch.record_event.sql
\ir dispatch.send_broadcasts.sql
\ir dispatch.send_notices.sql
\ir dispatch.spread_feed.sql
