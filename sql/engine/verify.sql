-- Checks an installed engine: prints one row for each check, and raises if one is not ok.
--   psql "$DATABASE_URL" -X -f sql/engine/verify.sql
-- psql's exit status is 0, or 3 if a check fails, or 2 if there is no connection.
\ir verify_begin.sql
\ir checks.sql
\ir verify_end.sql
