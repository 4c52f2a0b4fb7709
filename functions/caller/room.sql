-- Who calls, and what they are told when it cannot be.
\ir dispatch.caller_id.sql
\ir dispatch.raise_error.sql
\ir dispatch.raise_refused.sql
\ir dispatch.require_user.sql
\ir dispatch.to_uuid.sql
