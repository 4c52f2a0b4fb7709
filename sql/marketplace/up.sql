-- Makes the reference marketplace, for those who have none; again: nothing changes. Who has one
-- leaves this layer out: see sql/discover.sql.
\set ON_ERROR_STOP on
\ir ../engine/alone_begin.sql
begin;
\ir ../engine/may_look.sql
\ir ../engine/requirements.sql
\ir ../engine/refuse.sql
\ir refuse_others.sql
\ir tables.sql
\ir policies.sql
\ir grants.sql
\ir seed.sql
commit;
set statement_timeout = 0;
\ir indexes.sql
select
    e'The reference marketplace is installed.\n'
    '  Next:         psql "$DATABASE_URL" -X -f sql/engine/up.sql' as word
\gset
\ir ../engine/alone_end.sql
