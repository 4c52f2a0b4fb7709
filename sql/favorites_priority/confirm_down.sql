-- Nothing is begun that what stands on the columns would stop halfway. Says what down.sql would
-- lose, and goes on if that was confirmed. Nothing is lost of a request whose window the event log
-- has: for whom, how long, until when.
\ir ../engine/asking.sql
do $$
declare
    v_found text;
    v_count bigint;
    v_first date;
    v_last date;
begin
    if
        to_regprocedure('dispatch.set_favorites_priority(boolean)') is null
        -- By these the open windows are broadcast.
        or to_regclass('dispatch.requests') is null
        or to_regprocedure('dispatch.sweep(integer,timestamptz)') is null
    then
        raise object_not_in_prerequisite_state using
            message = 'the feature is not installed, or only in part',
            hint = 'If its columns are there, run each up.sql first.';
    end if;
    select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
    into v_found
    from pg_catalog.pg_depend as d
    inner join pg_catalog.pg_attribute as a
        on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where
        d.refclassid = 'pg_catalog.pg_class'::regclass
        and d.refobjid in (
            with recursive t as (
                select 'public.session_requests'::regclass::oid as oid
                union
                select h.inhrelid from t inner join pg_catalog.pg_inherits as h on h.inhparent = t.oid
            )

            select t.oid from t
        )
        and (
            d.deptype = 'n'
            -- Without a word these would go with a column that they have among others.
            or (
                d.classid in (
                    'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_constraint'::regclass,
                    'pg_catalog.pg_statistic_ext'::regclass
                )
                and not exists (
                    select from pg_catalog.pg_class as c
                    where
                        d.classid = 'pg_catalog.pg_class'::regclass and c.oid = d.objid
                        and (
                            c.relkind <> 'i'
                            or c.relname in (
                                'session_requests_preferred_mechanic_idx',
                                'session_requests_priority_deadline_idx',
                                'session_requests_priority_notified_idx'
                            )
                        )
                )
                and not exists (
                    select from pg_catalog.pg_constraint as k
                    where
                        d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid
                        and k.conname = 'session_requests_preferred_mechanic_id_fkey'
                )
            )
        )
        and a.attname in (
            'preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at'
        )
        and a.attname not in (select b.what from dispatch.found_before as b)
        -- Ours goes with them.
        and not exists (
            select from pg_catalog.pg_rewrite as r
            inner join pg_catalog.pg_class as c on c.oid = r.ev_class
            where
                d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
                and c.relnamespace = 'dispatch'::regnamespace
        )
        and not exists (
            select from pg_catalog.pg_trigger as t
            inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
            where
                d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid
                and p.pronamespace = 'dispatch'::regnamespace
        )
        and not exists (
            select from pg_catalog.pg_policy as p
            where
                d.classid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objid
                and p.polname = 'dispatch_reserved'
        );
    if v_found is not null then
        raise dependent_objects_still_exist using
            message = format(
                'the columns of the feature are still used, and nothing was changed: %s', v_found
            ),
            hint = 'Drop or change these first.';
    end if;
    if current_setting('favorites_priority.confirm_down', true) = 'yes' then
        return;
    end if;
    select count(*), min(r.created_at)::date, max(r.created_at)::date
    into v_count, v_first, v_last
    from public.session_requests as r
    where
        -- What was there before the feature stays.
        (
            (
                r.preferred_mechanic_id is not null
                and 'preferred_mechanic_id' not in (select b.what from dispatch.found_before as b)
            )
            or (
                r.priority_window_minutes is not null
                and 'priority_window_minutes'
                not in (select b.what from dispatch.found_before as b)
            )
            or (
                r.priority_notified_at is not null
                and 'priority_notified_at' not in (select b.what from dispatch.found_before as b)
            )
        )
        and not exists (
            select from dispatch.request_events as e
            where e.request_id = r.id and e.event = 'priority_request'
        );
    if v_count > 0 then
        raise object_not_in_prerequisite_state using
            message = format(
                '%s session_requests of %s to %s would lose preferred_mechanic_id, '
                'priority_window_minutes and priority_notified_at, which the event log does not '
                'have; nothing was changed',
                v_count, v_first, v_last
            ),
            hint = 'Save them first if they are needed. Then run it again with: '
            'psql … -c "set favorites_priority.confirm_down = yes" -f down.sql';
    end if;
end;
$$;
\ir ../engine/making.sql
