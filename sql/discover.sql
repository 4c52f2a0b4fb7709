-- Finds the shape of a marketplace that is there, and writes the binding for it, to look over:
--   psql "$DATABASE_URL" -X -q -f sql/discover.sql > binding.sql
-- What it prints is a file for psql: what was found and by what evidence, as comments; what cannot
-- be known, as lines that begin with QUESTION; then the binding. It reads only: the catalogue, and
-- of the tables that may belong to the marketplace the first 1,000 rows. Only words (statuses,
-- types, prices, currencies) are shown of these, no names, addresses or ids.
-- Exit status: 0, or 3 with all that is in the way on stderr and nothing on stdout.
\set ON_ERROR_STOP on
\set QUIET on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset pager off
begin;
set local transaction_isolation = 'repeatable read';
set local transaction_read_only = on;
set local search_path = '';
set local jit = off;
set local client_min_messages = warning;
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;

-- Each part reads what those before it found from settings, as a temporary table would be a write.
\ir discover/look.sql
\ir discover/read.sql
\ir discover/judge.sql
\ir discover/mechanics.sql
\ir discover/requests.sql
\ir discover/open_to.sql
\ir discover/favorites.sql
\ir discover/plans.sql
\ir discover/questions.sql
\ir discover/counted.sql
\ir discover/write.sql

select current_setting('discover.text');
rollback;
