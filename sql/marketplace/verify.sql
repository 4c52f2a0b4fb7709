-- Checks the reference marketplace: prints one row for each check, and raises if one is not ok.
--   psql "$DATABASE_URL" -X -f sql/marketplace/verify.sql
-- psql's exit status is 0, or 3 if a check fails, or 2 if there is no connection.
\ir ../engine/verify_begin.sql
\ir checks.sql
\ir ../engine/verify_end.sql
