create or replace function dispatch.next_event_id()
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The floor that this transaction has, if it says the truth: whoever runs SQL can set it.
    v_noted text := current_setting('dispatch.floor', true);
    v_floor bigint;
    v_event_id bigint;
begin
    -- The same floor is locked again: another one for each of many events would fill the server's
    -- lock table.
    if v_noted ~ '^[0-9]{1,18}$' then
        v_floor := v_noted::bigint;
        if pg_try_advisory_xact_lock_shared(1178687058, (v_floor & 2147483647)::integer) then
            v_event_id := nextval('dispatch.request_events_id_seq');
        end if;
    end if;
    -- Under a floor that is not below the id (or so far that its lock means another) the id is given
    -- up: no floor was noted, or a false one.
    if v_event_id is null or v_event_id - v_floor not between 1 and 1073741823 then
        v_floor := coalesce(pg_sequence_last_value('dispatch.request_events_id_seq'), 0);
        -- Somebody else's exclusive lock on the key must not stop a booking: a lower floor does too.
        while not pg_try_advisory_xact_lock_shared(1178687058, (v_floor & 2147483647)::integer) loop
            v_floor := v_floor - 1;
        end loop;
        perform set_config('dispatch.floor', v_floor::text, true);
        v_event_id := nextval('dispatch.request_events_id_seq');
    end if;
    return v_event_id;
end;
$$;

comment on function dispatch.next_event_id() is
'An id for an event, under a floor that this transaction has locked; for dispatch.record_event, '
'where it is not the transaction''s first.';
revoke all on function dispatch.next_event_id() from public, anon, authenticated, service_role;
