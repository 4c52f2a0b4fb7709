-- Prints the word, unless psql's -q asks for none, and leaves the session as it was.
set client_min_messages = :told_before;
\if :was_quiet
\else
\echo :word
\endif
\set QUIET :was_quiet
