-- Takes the engine off again: the database is then what it was before up.sql, but for what the
-- marketplace's own tables hold. The event log and the Stripe ledger go with the schema dispatch.
--   psql "$DATABASE_URL" -X -f sql/engine/down.sql
\set ON_ERROR_STOP on
\ir alone_begin.sql
begin;
\ir moved.sql
\ir rpcs.sql
\ir may_go.sql
\ir copies.sql
\ir end_sweep.sql
\ir locks.sql
\ir leave.sql
notify pgrst, 'reload schema';
commit;
\set word 'The engine is taken off, its event log and Stripe ledger with it. The marketplace stays.'
\ir alone_end.sql
