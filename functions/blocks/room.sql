-- Who is never to hear of whom.
\ir dispatch.blocked_users.sql
\ir dispatch.has_blocked.sql
\ir dispatch.hidden_from_caller.sql
\ir dispatch.is_blocked.sql
