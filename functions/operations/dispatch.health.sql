-- Cheap enough to be asked each few seconds: every check reads an index from where it matters and
-- stops after 1000 rows. Volatile for the sizes and the queue of notices, which no snapshot keeps.
create or replace function dispatch.health(
    p_now timestamptz default now(),
    p_max_bytes bigint default 10737418240
)
returns table (check_name text, ok boolean, detail text)
language plpgsql
volatile
-- definer: whom sql/monitor_role.sql lets ask must see what there is, whatever its own rights
security definer
set search_path = pg_catalog, pg_temp
-- Names are compared as text, whatever a session or the database has set.
set quote_all_identifiers = off
as $$
declare
    v_enough constant integer := 1000;
    v_grace constant interval := interval '5 seconds';
    v_relations text;
    v_is_readable boolean := true;
    v_holder text;
    v_hidden text;
    v_closed text;
    v_stopped text;
begin
    return query select * from dispatch.cron_checks(p_now);
    return query select * from dispatch.session_checks(p_now);

    -- Who has a whole table holds up the sweep, and whoever asks for its rows; who has an index of it
    -- (a `reindex`), whoever plans to; who builds one, each booking.
    begin
        perform set_config('lock_timeout', '400ms', true);
        -- The views stand for the tables that they read, whatever those are.
        v_relations := concat_ws(
            ', ', 'dispatch.requests', 'dispatch.payments', 'dispatch.mechanics',
            'dispatch.plans', 'dispatch.favorites',
            'dispatch.request_events', 'dispatch.stripe_events', 'dispatch.windows',
            'dispatch.presence', 'dispatch.steps', 'dispatch.blocks', 'dispatch.unanswered',
            'dispatch.pushes', 'dispatch.devices',
            (
                select string_agg(c.oid::regclass::text, ', ') from pg_catalog.pg_class as c
                where
                    (c.relname, c.relnamespace) in (
                        ('messages', to_regnamespace('realtime')),
                        -- A booking and an accept lock their account's row.
                        ('users', to_regnamespace('auth'))
                    )
                    and has_schema_privilege(c.relnamespace, 'usage')
                    and has_table_privilege(c.oid, 'select')
            )
        );
        execute format('lock table %s in access share mode', v_relations);
        execute 'explain select from ' || replace(v_relations, ', ', ' union all select from ');
        lock table public.session_requests, dispatch.request_events, dispatch.stripe_events,
        dispatch.windows, dispatch.pushes in row exclusive mode;
        -- Not kept: who asks may stay in their transaction.
        raise exception using errcode = 'DI000';
    exception
        -- What may not be done, or is not there, is told below.
        when sqlstate 'DI000' or insufficient_privilege or undefined_table then null;
        when lock_not_available then
            v_is_readable := false;
            select
                format(
                    '%s %s %s%s',
                    coalesce(
                        'session ' || a.pid || ' ('
                        || coalesce(nullif(a.application_name, ''), a.usename) || ')',
                        'prepared transaction ' || p.gid,
                        'a session'
                    ),
                    case
                        when not l.granted then 'waits for the whole of'
                        when l.mode = 'AccessExclusiveLock' then 'has the whole of'
                        else 'lets nobody write to'
                    end,
                    l.relation::regclass,
                    ' since ' || coalesce(a.xact_start, p.prepared)
                )
            into v_holder
            from pg_catalog.pg_locks as l
            inner join pg_catalog.pg_class as c on c.oid = l.relation
            left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
            left join pg_catalog.pg_prepared_xacts as p
                on
                    l.pid is null
                    and p.transaction in (
                        select x.transactionid from pg_catalog.pg_locks as x
                        where x.pid is null and x.virtualtransaction = l.virtualtransaction
                    )
            where
                l.pid is distinct from pg_backend_pid()
                and (
                    l.mode = 'AccessExclusiveLock'
                    -- As of who makes an index, or a trigger.
                    or (
                        l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock')
                        and (
                            c.relnamespace = to_regnamespace('dispatch')
                            or c.oid = to_regclass('public.session_requests')
                        )
                    )
                )
                and l.database = (
                    select d.oid from pg_catalog.pg_database as d
                    where d.datname = current_database()
                )
                and c.relkind in ('r', 'p', 'v', 'i')
                and c.relnamespace in (
                    to_regnamespace('public'), to_regnamespace('dispatch'),
                    to_regnamespace('auth'), to_regnamespace('realtime')
                )
            order by l.granted desc, l.mode = 'AccessExclusiveLock' desc, a.xact_start
            limit 1;
    end;
    check_name := 'tables_readable';
    ok := v_is_readable;
    detail := case
        when ok then 'no session has one for itself'
        else
            coalesce(v_holder, 'some session has a whole table')
            || ': until it ends nothing is announced, and what follows here is not known'
    end;
    return next;
    if not ok then
        return;
    end if;

    return query select * from dispatch.realtime_checks(p_now);

    -- To whom rows are hidden nothing is ever late: what follows would be well, and untrue. Without
    -- a grant each booking fails, before there is anything to tell of it.
    select
        string_agg(w.name, ', ' order by w.name) filter (
            where
                case
                    when o.is_open
                        then
                            not has_table_privilege(r.oid, 'select')
                            -- These are locked, too.
                            or (
                                w.name ~ '\.(session_requests|mechanics|users)$'
                                and not has_any_column_privilege(r.oid, 'update')
                            )
                    else not o.is_open
                end
        ),
        string_agg(w.name, ', ' order by w.name) filter (where not dispatch.sees_rows(r.oid))
    into v_closed, v_hidden
    from unnest(
        array[
            'public.session_requests', 'dispatch.request_events', 'dispatch.stripe_events',
            'dispatch.windows', 'dispatch.pushes', 'dispatch.devices', 'auth.users'
        ]
        -- Wherever the mechanics are.
        || array(
            select distinct d.refobjid::regclass::text
            from pg_catalog.pg_rewrite as r
            inner join pg_catalog.pg_depend as d
                on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
            where
                r.ev_class = 'dispatch.mechanics'::regclass
                and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> r.ev_class
        )
    ) as w (name)
    cross join lateral to_regnamespace(split_part(w.name, '.', 1)) as n (oid)
    cross join lateral has_schema_privilege(n.oid, 'usage') as o (is_open)
    -- (It fails for who may not use the schema.)
    cross join lateral (select case when o.is_open then to_regclass(w.name)::oid end as oid) as r;
    check_name := 'rows_visible';
    ok := v_hidden is null and v_closed is null;
    detail := coalesce(
        current_user || ' lacks a grant, and nothing is booked: usage on the schema, or select and '
        'update on ' || v_closed,
        'row level security hides rows from ' || current_user || ', and the rows below say '
        'nothing: ' || v_hidden,
        'no row is hidden from ' || current_user
    );
    return next;
    -- Without it what follows cannot be asked.
    if v_closed is not null then
        return;
    end if;

    -- A table that took the place of theirs has none, and no row tells of what is not routed there.
    -- (Without that table nothing of what follows can be asked.)
    v_stopped := dispatch.stopped_triggers();
    check_name := 'triggers_run';
    ok := v_stopped is null;
    detail := coalesce(
        'missing or disabled, so that what is booked or suspended is not seen: ' || v_stopped,
        'all of the engine''s'
    );
    return next;
    if to_regclass('public.session_requests') is null then
        return;
    end if;

    return query
    select
        c.name,
        c.found = 0,
        c.found || case when c.found = v_enough then ' or more ' else ' ' end || c.what
        || coalesce(c.since, '')
    from (
        select
            'windows_announced',
            'requests not broadcast 5 s after their window',
            count(*),
            ', the oldest ended at ' || min(w.ends_at)
        from dispatch.pending_windows(p_now - v_grace, v_enough) as w
        union all
        -- Nothing else sees these: no window of theirs is ever over, and none may last so long.
        select
            'requests_routed',
            'requests that no trigger routed, and of which nobody is told',
            count(*),
            ', the oldest of ' || min(u.created_at)
        from (
            select r.created_at from dispatch.requests as r
            where
                r.is_pending and r.announced_at is null
                and r.window_ends_at is null and r.created_at < p_now - v_grace
            union all
            select r.created_at from dispatch.requests as r
            where
                r.is_pending and r.announced_at is null
                and r.window_ends_at > greatest(p_now, now()) + interval '61 minutes'
            limit v_enough
        ) as u
        union all
        select
            'windows_on_time',
            'windows announced more than 5 s late in the last 15 minutes',
            count(*),
            ', at worst by ' || max(w.lateness)
        from (
            select e.delivered_at - (e.payload ->> 'window_ends_at')::timestamptz as lateness
            from dispatch.request_events as e
            where
                e.id >= greatest(
                    dispatch.first_event_id_since(p_now - interval '15 minutes'),
                    (select max(last.id) from dispatch.request_events as last) - 10 * v_enough
                )
                and e.created_at between p_now - interval '15 minutes' and p_now
                and e.event = 'new_request' and e.payload ->> 'reason' = 'window_ended'
                -- A writer may have had it begin at no time.
                and case
                    when
                        isfinite(e.delivered_at)
                        and isfinite((e.payload ->> 'window_ends_at')::timestamptz)
                        then
                            e.delivered_at - (e.payload ->> 'window_ends_at')::timestamptz
                            > v_grace
                end
            limit v_enough
        ) as w
        union all
        select
            'events_delivered',
            'events undelivered for more than 5 s',
            count(*),
            ', the oldest of ' || min(u.created_at)
        from (
            select e.created_at from dispatch.request_events as e
            where e.delivered_at is null and e.created_at < p_now - v_grace
            order by e.delivered_at, e.id
            limit v_enough
        ) as u
        union all
        select
            'requests_accepted',
            'requests that nobody accepted 15 minutes after the broadcast',
            count(*),
            ', the oldest of ' || min(u.created_at)
        from (
            select r.created_at from dispatch.requests as r
            where
                r.is_pending and r.created_at < p_now - interval '15 minutes'
                and r.announced_at < p_now - interval '15 minutes'
            order by r.created_at
            limit v_enough
        ) as u
        union all
        select
            'requests_expired',
            'requests not expired 5 s after their time',
            count(*),
            ', the oldest of ' || min(u.expires_at) || ': a trigger raises, see the server''s log'
        from (
            select r.expires_at from dispatch.requests as r
            where r.is_pending and r.expires_at < p_now - v_grace and dispatch.governs_all()
            order by r.expires_at
            limit v_enough
        ) as u
    ) as c (name, what, found, since);

    return query select * from dispatch.payment_checks(p_now, v_enough);
    return query select * from dispatch.push_checks(p_now, v_enough);

    return query
    select
        t.name,
        pg_total_relation_size(t.relation) <= p_max_bytes,
        pg_size_pretty(pg_total_relation_size(t.relation)) || ' on disk, '
        || pg_size_pretty(p_max_bytes) || ' allowed'
    from (
        values
        ('event_log_size', 'dispatch.request_events'::regclass),
        ('stripe_ledger_size', 'dispatch.stripe_events')
    ) as t (name, relation);
end;
$$;

comment on function dispatch.health(timestamptz, bigint) is
'One row for each check: name, whether it is well, and what was found. p_max_bytes is what the '
'event log may take on disk with its indexes, and as much the Stripe ledger. What to do about '
'each: docs/runbook.md.';
revoke all on function dispatch.health(timestamptz, bigint)
from public, anon, authenticated, service_role;
