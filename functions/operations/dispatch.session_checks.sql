-- Part of dispatch.health(): what other sessions hold up, and who reads a slot.
create or replace function dispatch.session_checks(p_now timestamptz)
returns table (check_name text, ok boolean, detail text)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_many constant integer := 10000;
    v_hidden constant text := dispatch.why_sessions_are_hidden();
    v_session record;
    v_slot record;
begin
    -- At half the transactions stop notifying (dispatch.record_event), at nine tenths the sweep.
    check_name := 'notify_queue';
    ok := pg_notification_queue_usage() <= 0.5 and not pg_is_in_recovery();
    detail := case
        when pg_is_in_recovery() then 'a standby sends no notices: ask the primary'
        else
            round(pg_notification_queue_usage()::numeric * 100) || ' % full; that a notice '
            'arrives is shown by listening only'
    end;
    return next;

    -- A listener that stops reading does this: its server process waits for it inside a
    -- transaction, and is "idle" and younger than its snapshot to look at. So both are asked: how
    -- long ago, and how many transactions. Who has written and is idle has no snapshot, and holds
    -- up vacuum by its transaction alone; so does one that is prepared, which has no session.
    select
        h.who,
        h.wait_event,
        h.transactions,
        -- A standby's snapshot, which a replication session or slot has, has no beginning here.
        h.transactions > v_many
        and coalesce(h.since < p_now - interval '5 minutes', true) as is_old
    into v_session
    from (
        select
            format(
                'session %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), a.backend_type)
            ) as who,
            a.wait_event,
            greatest(age(a.backend_xid), age(a.backend_xmin)) as transactions,
            a.xact_start as since
        from pg_catalog.pg_stat_activity as a
        where
            a.backend_type <> 'autovacuum worker'
            and coalesce(a.datname, current_database()) = current_database()
        union all
        select 'prepared transaction ' || p.gid, null, age(p.transaction), p.prepared
        from pg_catalog.pg_prepared_xacts as p
        where p.database = current_database()
        union all
        select 'replication slot ' || r.slot_name, null, age(r.xmin), null
        from pg_catalog.pg_replication_slots as r
    ) as h
    where h.transactions is not null
    order by is_old desc, h.transactions desc, h.since
    limit 1;
    check_name := 'snapshots_recent';
    ok := v_hidden is null and not coalesce(v_session.is_old, false);
    detail := case
        when v_hidden is not null then v_hidden
        when ok then 'none is older than 5 minutes and ' || v_many || ' transactions'
        else
            v_session.who || ' keeps vacuum from removing '
            || 'the dead rows of the last ' || v_session.transactions || ' transactions'
            || case v_session.wait_event
                when 'ClientWrite' then ': its client does not read what it is sent' else ''
            end
    end;
    return next;

    -- What a slot's reader has not read is kept, by default until the disk is full; by
    -- max_slot_wal_keep_size it is lost before.
    select r.slot_name, r.active, r.wal_status into v_slot
    from pg_catalog.pg_replication_slots as r
    where r.wal_status <> 'reserved'
    order by r.active, r.slot_name
    limit 1;
    check_name := 'slots_read';
    ok := v_slot is null;
    detail := case
        when ok then 'no replication slot keeps more than max_wal_size'
        when v_slot.wal_status = 'lost'
            then
                'replication slot ' || v_slot.slot_name || ' was left unread for too long, and '
                'nothing can be read from it any more: drop it'
        else
            'replication slot ' || v_slot.slot_name || ' keeps more than max_wal_size ('
            || current_setting('max_wal_size') || '), and the disk fills: its reader is '
            || case when v_slot.active then 'slow' else 'away' end
    end;
    return next;

    -- Who has written an event and not yet committed: readers stop there, as in
    -- dispatch.last_settled_event_id. A transaction that is prepared has no session.
    select
        coalesce(
            'session ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), a.usename) || ', '
            || a.state || ')',
            'prepared transaction ' || p.gid,
            'a session'
        ) as who,
        coalesce(a.xact_start, p.prepared) as since
    into v_session
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    left join pg_catalog.pg_prepared_xacts as p
        on
            l.pid is null
            and p.transaction in (
                select x.transactionid from pg_catalog.pg_locks as x
                where x.pid is null and x.virtualtransaction = l.virtualtransaction
            )
    where
        l.locktype = 'advisory'
        and l.classid = 1178687058
        and l.objsubid = 2
        and l.mode = 'ShareLock'
        and l.database = (
            select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
        )
    order by since
    limit 1;
    check_name := 'events_settled';
    ok := v_hidden is null and coalesce(v_session.since > p_now - interval '1 minute', true);
    detail := case
        when v_hidden is not null then v_hidden
        when ok then 'no transaction that wrote an event is older than a minute'
        else
            v_session.who || ' wrote an event and has not committed since ' || v_session.since
            || ': until it ends, nobody catches up past it'
    end;
    return next;
end;
$$;

comment on function dispatch.session_checks(timestamptz) is
'Part of dispatch.health(): whether some session holds up notices, vacuum or the cursor, or a slot '
'fills the disk.';
revoke all on function dispatch.session_checks(timestamptz)
from public, anon, authenticated, service_role;
