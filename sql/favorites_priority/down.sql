-- Takes the feature out again: the schema is then what it was before up.sql; columns and indexes
-- that were the marketplace's own stay. Requests whose windows are open are broadcast first. The
-- columns go with what they hold; what the event log does not have of it is given up only if that
-- is confirmed:
--   psql "$DATABASE_URL" -X -c "set favorites_priority.confirm_down = yes" -f down.sql
\set ON_ERROR_STOP on
\ir ../engine/alone_begin.sql
begin;
\ir ../engine/moved.sql
\ir remember_found.sql
\ir confirm_down.sql
commit;
-- Not yet under a lock: nobody has to wait while many windows are broadcast. If no lock is to be
-- had after that, the feature is still installed, and turned off.
select dispatch.set_favorites_priority(false) as is_on
\gset
begin;
\ir ../engine/locks.sql
-- Again, for what came between: nothing may be booked for a favourite until the columns are gone.
\ir confirm_down.sql
select dispatch.set_favorites_priority(false) as is_on
\gset
\ir take_off.sql
commit;
-- By itself, and quick. Nobody uses the columns now, but whoever is in the middle of a call that
-- returns a request would get one of another shape than it began with, and is refused.
begin;
\ir ../engine/locks.sql
\ir drop_columns.sql
commit;
notify pgrst, 'reload schema';
select
    e'Favorites Priority is taken off. The engine stays.\n'
    '  To take it off too: psql "$DATABASE_URL" -X -f sql/engine/down.sql' as word
\gset
\ir ../engine/alone_end.sql
