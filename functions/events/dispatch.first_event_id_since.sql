-- Finds a time in the event log by halving the range of ids, so that the log needs no index on
-- created_at: ids are given in the order of time, and each probe reads a few pages of the primary
-- key. (BRIN would not stay useful: delivered and pruned events leave room all over the log, which
-- new ones fill.)
create or replace function dispatch.first_event_id_since(p_since timestamptz)
returns bigint
language plpgsql
stable
-- definer: a view's functions run as who asks, and whom sql/monitor_role.sql lets ask the view
-- dispatch.metrics may not read the log; an id tells nothing
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_low bigint;
    v_high bigint;
    v_middle bigint;
    v_event record;
begin
    -- All below v_low are before p_since; v_high and all above are not.
    select min(e.id), max(e.id) + 1 into v_low, v_high from dispatch.request_events as e;
    while v_low < v_high loop
        v_middle := (v_low + v_high) / 2;
        select e.id, e.created_at into v_event
        from dispatch.request_events as e
        where e.id >= v_middle
        order by e.id
        limit 1;
        if v_event.created_at < p_since then
            v_low := v_event.id + 1;
        else
            v_high := v_middle;
        end if;
    end loop;
    return v_low;
end;
$$;

comment on function dispatch.first_event_id_since(timestamptz) is
'From this id on the event log is not older than p_since; null: it is empty. An event whose '
'transaction took long counts as old as that transaction: ask for a time that much earlier.';
revoke all on function dispatch.first_event_id_since(timestamptz)
from public, anon, authenticated, service_role;
