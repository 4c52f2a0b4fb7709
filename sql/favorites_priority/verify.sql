-- Checks an installed feature, and all that it stands on: prints one row for each check, and raises
-- if one is not ok.
--   psql "$DATABASE_URL" -X -f sql/favorites_priority/verify.sql
-- psql's exit status is 0, or 3 if a check fails, or 2 if there is no connection.
\ir ../engine/verify_begin.sql
\if :governs_all
\ir ../marketplace/checks.sql
\endif
\ir ../engine/checks.sql
\ir checks.sql
\if :governs_all
\ir checks_ours.sql
\else
\ir checks_theirs.sql
\endif
\ir ../engine/verify_end.sql
