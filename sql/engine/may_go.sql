-- Nothing is taken away that something else stands on, or that nobody else knows.
\ir asking.sql
do $$
declare
    v_found text;
    v_named text;
    v_jobs text;
    v_count bigint;
begin
    if to_regprocedure('dispatch.governs_all()') is null then
        raise object_not_in_prerequisite_state using
            message = 'the engine is not installed, or only in part',
            hint = 'If the schema dispatch is there, run sql/engine/up.sql first.';
    elsif
        exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and not has_schema_privilege('cron', 'usage')
    then
        raise insufficient_privilege using
            message = 'pg_cron has jobs of this, and nothing was changed',
            hint = format('grant usage on schema cron to %I', current_user);
    elsif to_regprocedure('dispatch.set_favorites_priority(boolean)') is not null then
        raise object_not_in_prerequisite_state using
            message = 'the feature is installed on it, and nothing was changed',
            hint = 'Run sql/favorites_priority/down.sql first.';
    end if;

    select string_agg(pg_describe_object(d.classid, d.objid, d.objsubid), ', ') into v_found
    from (
        select distinct e.classid, e.objid, e.objsubid
        from pg_catalog.pg_depend as e
        where
            (
                (
                    e.refclassid = 'pg_catalog.pg_proc'::regclass
                    and e.refobjid in (
                        select p.oid from pg_catalog.pg_proc as p
                        where p.pronamespace = 'dispatch'::regnamespace
                    )
                )
                or (
                    e.refclassid = 'pg_catalog.pg_class'::regclass
                    and e.refobjid in (
                        select c.oid from pg_catalog.pg_class as c
                        where c.relnamespace = 'dispatch'::regnamespace
                    )
                )
                or (
                    e.refclassid = 'pg_catalog.pg_type'::regclass
                    and e.refobjid in (
                        select t.oid from pg_catalog.pg_type as t
                        where t.typnamespace = 'dispatch'::regnamespace
                    )
                )
            )
            and (
                e.deptype = 'n'
                -- One that names a table goes with it.
                or e.classid = 'pg_catalog.pg_publication_rel'::regclass
            )
    ) as d
    where
        -- Policies and triggers of others, and views outside of it.
        (
            d.classid = 'pg_catalog.pg_policy'::regclass
            and exists (
                select from pg_catalog.pg_policy as p
                where
                    p.oid = d.objid and p.polname !~ '^dispatch_topics_'
                    and not (
                        dispatch.governs_all()
                        and (
                            (
                                p.polname = 'session_requests_select'
                                and p.polrelid = 'public.session_requests'::regclass
                            )
                            or (
                                p.polname = 'mechanics_select'
                                and p.polrelid = 'public.mechanics'::regclass
                            )
                        )
                    )
            )
        )
        or (
            d.classid = 'pg_catalog.pg_trigger'::regclass
            and exists (
                select from pg_catalog.pg_trigger as t
                inner join pg_catalog.pg_proc as f on f.oid = t.tgfoid
                where t.oid = d.objid and f.pronamespace <> 'dispatch'::regnamespace
            )
        )
        or (
            d.classid = 'pg_catalog.pg_rewrite'::regclass
            and exists (
                select from pg_catalog.pg_rewrite as r
                inner join pg_catalog.pg_class as c on c.oid = r.ev_class
                where r.oid = d.objid and c.relnamespace <> 'dispatch'::regnamespace
            )
        )
        -- Functions with their body in begin atomic, keys and checks, defaults, indexes: without a
        -- word they would go with what they call or point to.
        or (
            d.classid = 'pg_catalog.pg_proc'::regclass
            and exists (
                select from pg_catalog.pg_proc as f
                where f.oid = d.objid and f.pronamespace <> 'dispatch'::regnamespace
            )
        )
        or (
            d.classid = 'pg_catalog.pg_constraint'::regclass
            and exists (
                select from pg_catalog.pg_constraint as k
                where k.oid = d.objid and k.connamespace <> 'dispatch'::regnamespace
            )
        )
        or (
            d.classid = 'pg_catalog.pg_attrdef'::regclass
            and exists (
                select from pg_catalog.pg_attrdef as v
                inner join pg_catalog.pg_class as c on c.oid = v.adrelid
                where v.oid = d.objid and c.relnamespace <> 'dispatch'::regnamespace
            )
        )
        or (
            d.classid = 'pg_catalog.pg_class'::regclass
            and exists (
                select from pg_catalog.pg_class as c
                where
                    c.oid = d.objid and c.relnamespace <> 'dispatch'::regnamespace
                    and c.relname <> 'mechanics_matches_idx'
            )
        )
        or (
            d.classid = 'pg_catalog.pg_type'::regclass
            and exists (
                select from pg_catalog.pg_type as t
                where t.oid = d.objid and t.typnamespace <> 'dispatch'::regnamespace
            )
        )
        -- Of other kinds (casts, operators, event triggers, publications) the engine makes none.
        or d.classid not in (
            'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_trigger'::regclass,
            'pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_proc'::regclass,
            'pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_attrdef'::regclass,
            'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass
        );

    -- What is text depends on nothing: a queue that leaves out what is reserved, a job that asks for
    -- the health.
    select '\mdispatch"?\."?(' || string_agg(distinct w.name, '|') || ')\M' into v_named
    from (
        select p.proname as name from pg_catalog.pg_proc as p
        where p.pronamespace = 'dispatch'::regnamespace
        union all
        select c.relname from pg_catalog.pg_class as c
        where c.relnamespace = 'dispatch'::regnamespace and c.relkind in ('r', 'v', 'S')
    ) as w;
    if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
        execute
            'select string_agg(''job '' || coalesce(j.jobname, j.jobid::text) || '' of pg_cron'', '', '') '
            'from cron.job as j '
            'where '
            'j.database = current_database() and j.command ~ $1 '
            'and coalesce(j.jobname, '''') not in '
            '(''dispatch-sweep'', ''dispatch-start'', ''dispatch-retention'', ''dispatch-push'')'
        into v_jobs using v_named;
    end if;
    select concat_ws(', ', v_found, v_jobs, string_agg(o.what, ', ' order by o.what)) into v_found
    from (
        select pg_describe_object('pg_catalog.pg_proc'::regclass, p.oid, 0) as what
        from pg_catalog.pg_proc as p
        where
            p.prosrc ~ '\mdispatch\M' and p.prosrc ~ v_named
            and p.pronamespace <> 'dispatch'::regnamespace
            -- As leave.sql drops them.
            and not (
                p.pronamespace = 'public'::regnamespace
                and p.proname = any(current_setting('dispatch.rpcs')::text[])
            )
        union all
        -- Of another's making (an archive of the log), and in a schema that goes.
        select pg_describe_object('pg_catalog.pg_class'::regclass, c.oid, 0)
        from pg_catalog.pg_class as c
        where
            c.relnamespace = 'dispatch'::regnamespace and c.relkind in ('r', 'p', 'f', 'm')
            and c.relname not in (
                'request_events', 'stripe_events', 'windows', 'presence', 'found_before', 'devices',
                'pushes', 'steps', 'blocks', 'unanswered'
            )
        union all
        select
            pg_describe_object('pg_catalog.pg_publication_namespace'::regclass, n.oid, 0)
        from pg_catalog.pg_publication_namespace as n
        where n.pnnspid = 'dispatch'::regnamespace
    ) as o;
    if v_found <> '' then
        raise dependent_objects_still_exist using
            message = format('the engine is still used, and nothing was changed: %s', v_found),
            hint = 'Drop or change these first.';
    end if;

    select count(*) into v_count
    from dispatch.stripe_events as e
    where e.processed_at is null;
    if v_count > 0 and current_setting('favorites_priority.confirm_down', true) is distinct from 'yes'
    then
        raise object_not_in_prerequisite_state using
            message = format(
                '%s Stripe events wait in the ledger, perhaps paid for and not booked; nothing was '
                'changed',
                v_count
            ),
            hint = 'See select id, error from dispatch.stripe_events where processed_at is null. '
            'Then run it again with: psql … -c "set favorites_priority.confirm_down = yes" '
            '-f sql/engine/down.sql';
    end if;
end;
$$;
\ir making.sql
