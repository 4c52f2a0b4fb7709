-- What happens when time has passed.
\ir dispatch.announce_fallbacks.sql
\ir dispatch.expire_requests.sql
\ir dispatch.next_deadline.sql
\ir dispatch.sweep.sql
\ir dispatch.sweep_round.sql
