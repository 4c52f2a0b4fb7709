-- One round of the loop that pg_cron runs for most of each minute (sql/engine/schedule.sql).
-- The loop sleeps for 20 ms between rounds, unless a deadline comes first or there is more to do at
-- once: delivering each notice as it comes would take a processor and a flush for each. Where no
-- notice was sent for ten seconds it sleeps for 100 ms, as looking takes the processor's time: the
-- next notice needs no loop, only another that follows within 20 ms does.
create or replace function dispatch.sweep_round(
    inout sweep_at timestamptz,
    out next_round timestamptz
)
returns record
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_deadline timestamptz;
    v_done integer := 0;
    v_delivered_at numeric := pg_sequence_last_value('dispatch.last_delivery') / 1000.0;
begin
    next_round := v_now + case
        when abs(extract(epoch from v_now) - v_delivered_at) < 10 then interval '20 milliseconds'
        else interval '100 milliseconds'
    end;
    begin
        -- As long as somebody has locked the whole table there is nothing to be known of windows.
        -- What is in the log already is sent all the same. The view first, as whoever changes both
        -- (sql/engine/locks.sql): the other way round each of their tries could meet a round.
        lock table dispatch.requests in access share mode nowait;
        lock table public.session_requests in row exclusive mode nowait;
        v_deadline := dispatch.next_deadline();
        if v_deadline <= v_now and v_now >= sweep_at then
            v_done := dispatch.sweep(1000, v_now);
            if v_done > 0 then
                v_deadline := dispatch.next_deadline();
            else
                -- Due and yet not done: somebody holds that row for a moment, or, the longer it is
                -- due, some trigger raises on it. Trying that one each 20 ms would fill the
                -- server's log and take its processor; notices go on meanwhile.
                sweep_at := v_now + greatest(
                    interval '20 milliseconds',
                    v_now - greatest(v_deadline, v_now - interval '1 second')
                );
            end if;
        end if;
    exception
        when lock_not_available then v_done := 0;
    end;
    -- What the sweep told goes out with the commit that comes now, before what others left is sent.
    -- That is sent a little at a time, so that a deadline never waits for much of it.
    if v_done > 0 or dispatch.deliver_events(100) >= 100 then
        next_round := v_now;
    elsif v_deadline > v_now then
        next_round := least(next_round, v_deadline);
    end if;
exception
    -- Whatever it is (a lock timeout, a full disk), a later round tries again.
    when assert_failure or others then
        raise warning 'sweep failed, trying again: %', sqlerrm;
        next_round := v_now + interval '1 second';
end;
$$;

comment on function dispatch.sweep_round(timestamptz) is
'Announces and expires what is due, unless it is before sweep_at, and delivers. Returns the next '
'round''s sweep_at and when to begin it.';
revoke all on function dispatch.sweep_round(timestamptz)
from public, anon, authenticated, service_role;
