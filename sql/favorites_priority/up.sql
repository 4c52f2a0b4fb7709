-- Installs the feature on the engine; again: nothing changes. The flag stays as it is, off at
-- first: select dispatch.set_favorites_priority(true). Those who book meanwhile wait for the
-- columns and for the triggers; whatever stops it, run it again.
\set ON_ERROR_STOP on
\ir ../engine/alone_begin.sql
begin;
\ir ../engine/moved.sql
\ir ../engine/requirements.sql
\ir requirements.sql
\ir ../engine/refuse.sql
\ir ../engine/locks.sql
\ir columns.sql
commit;
select dispatch.governs_all() as governs_all
\gset
set statement_timeout = 0;
\ir indexes.sql
\if :governs_all
\ir column_grants.sql
\ir indexes_ours.sql
\else
\ir indexes_theirs.sql
\endif
begin;
\ir ../../functions/operations/dispatch.set_favorites_priority.sql
\ir ../engine/locks.sql
\ir bind.sql
\ir triggers.sql
\if :governs_all
\else
\ir triggers_theirs.sql
\ir policy_theirs.sql
\endif
\ir fingerprint.sql
notify pgrst, 'reload schema';
commit;
select
    e'Favorites Priority is installed. '
    || case
        when dispatch.favorites_priority_enabled() then 'The flag is on, as it was.'
        else 'The flag is off: until it is on, nothing changes for anybody.'
    end
    || e'\n  Check it:     psql "$DATABASE_URL" -X -f sql/favorites_priority/verify.sql'
    || case
        when not dispatch.favorites_priority_enabled()
            then
                e'\n  Turn it on:   psql "$DATABASE_URL" -X -c '
                '"select dispatch.set_favorites_priority(true)"'
        else ''
    end as word
\gset
\ir ../engine/alone_end.sql
