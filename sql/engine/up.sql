-- Installs the engine on a marketplace: of ours (sql/marketplace/up.sql), or on one that was there
-- first, of which nothing changes:
--   psql "$DATABASE_URL" -X -v binding="$PWD/binding.sql" -f sql/engine/up.sql
-- Again: nothing changes, the binding, the feature and its flag included. Those who book meanwhile
-- wait for the triggers alone; whatever stops it, run it again.
\set ON_ERROR_STOP on
\ir alone_begin.sql
begin;
\ir moved.sql
\ir requirements.sql
\ir refuse.sql
\ir schemas.sql
\ir tables.sql
-- Again: who reads the views that are replaced now waits, and not the other way round.
select to_regclass('dispatch.requests') is not null as is_there
\gset
\if :is_there
do $$ begin perform set_config('favorites_priority.lock_all', 'views', true); end; $$;
\ir locks.sql
\endif
-- The binding stays as it is, unless another one is given or it is ours.
\if :{?binding}
\i :binding
\else
select
    to_regprocedure('dispatch.governs_all()') is null
    or coalesce(
        pg_catalog.obj_description(to_regclass('public.session_requests'))
        like 'Reference marketplace: %',
        false
    ) as is_ours
\gset
\if :is_ours
\ir only_ours.sql
\ir ../../functions/binding/reference.sql
\endif
\endif
\ir bound.sql
\ir ../../functions/caller/room.sql
\ir ../../functions/binding/room.sql
\ir bind.sql
\ir widened.sql
\ir exclusions.sql
\ir ../../functions/blocks/room.sql
\ir ../../functions/events/room.sql
\ir ../../functions/presence/room.sql
\ir ../../functions/routing/room.sql
\ir ../../functions/acceptance/room.sql
\ir ../../functions/push/room.sql
\ir ../../functions/payments/room.sql
\ir ../../functions/sweep/room.sql
\ir ../../functions/operations/room.sql
\ir replaced.sql
\ir ../../functions/api/room.sql
\ir remember.sql
\ir metrics.sql
commit;
set statement_timeout = 0;
\ir indexes.sql
select dispatch.governs_all() as governs_all
\gset
\if :governs_all
\ir indexes_ours.sql
\else
\ir indexes_theirs.sql
\endif
begin;
\ir realtime.sql
\ir schedule.sql
\if :governs_all
\ir publication.sql
\ir locks.sql
\ir see_open_requests.sql
\ir hide_blocked.sql
\ir triggers.sql
\endif
notify pgrst, 'reload schema';
commit;
select
    'The engine is installed on '
    || case
        when dispatch.governs_all() then 'the reference marketplace'
        else 'your marketplace'
    end
    || e'.\n  Next:         psql "$DATABASE_URL" -X -f sql/favorites_priority/up.sql' as word
\gset
\ir alone_end.sql
