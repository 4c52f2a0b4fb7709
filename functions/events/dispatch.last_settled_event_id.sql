create or replace function dispatch.last_settled_event_id()
returns bigint
language plpgsql
-- volatile: each query below must see the state of its own moment, in this order
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_last bigint := coalesce(pg_sequence_last_value('dispatch.request_events_id_seq'), 0);
    v_distance bigint;
begin
    -- A standby knows no other server's locks: there, an open transaction would be passed over.
    if pg_is_in_recovery() then
        raise feature_not_supported using
            message = 'the event log is read on the primary only',
            hint = 'A standby cannot tell which events are still to come.';
    end if;
    -- Nor does the caller's next query see a newer state there, and would pass one over.
    -- (READ UNCOMMITTED is READ COMMITTED by another name.)
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise feature_not_supported using
            message = 'the event log is read in READ COMMITTED only',
            hint = 'An older snapshot could skip an event; use the default isolation level.';
    end if;

    -- A transaction that is not in pg_locks now has either committed, and is seen by the caller's
    -- next query, or will get ids above v_last; so will one whose floor is above v_last, which took
    -- its lock after the line above. Locks hold the lower 31 bits of a floor.
    select max((v_last - l.objid::bigint) & 2147483647) into v_distance
    from pg_catalog.pg_locks as l
    where
        l.locktype = 'advisory'
        and l.classid = 1178687058
        and l.objsubid = 2
        and l.mode = 'ShareLock'
        and ((v_last - l.objid::bigint) & 2147483647) < 1073741824
        and l.database = (
            select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
        );
    return v_last - coalesce(v_distance, 0);
end;
$$;

comment on function dispatch.last_settled_event_id() is
'No event with this id or a lower one can appear later than now.';
revoke all on function dispatch.last_settled_event_id()
from public, anon, authenticated, service_role;
