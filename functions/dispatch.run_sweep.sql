-- What pg_cron calls each minute. pg_cron 1.4 knows no seconds, so the procedure stays for most of
-- its minute and sleeps until the next deadline, at most 20 ms at a time: that is also how long a
-- notice waits that a busy transaction left here (see dispatch.claim_delivery).
-- No SET clause: PostgreSQL forbids COMMIT in a procedure that has one. Every name is qualified.
create or replace procedure dispatch.run_sweep(p_until timestamptz default null)
language plpgsql
security invoker
as $$
declare
    v_until timestamptz := coalesce(
        p_until, date_trunc('minute', clock_timestamp()) + interval '59.9 seconds'
    );
    v_next timestamptz;
    v_done integer;
begin
    perform pg_catalog.set_config('search_path', '', false);
    perform dispatch.mark_silent_mechanics_offline(clock_timestamp());
    commit;
    loop
        begin
            v_done := dispatch.sweep(1000, clock_timestamp()) + dispatch.deliver_events(1000);
        exception
            -- Whatever it is (a lock timeout, a full disk), the next round tries again.
            when others then
                raise warning 'sweep failed, trying again: %', sqlerrm;
                v_done := -1;
        end;
        commit;
        exit when clock_timestamp() >= v_until;

        if v_done = 0 then
            select least(v_until, min(w.ends_at)) into v_next
            from dispatch.pending_windows('infinity', 1) as w;
            -- Due already and yet not done: a row that raises or is locked. Do not spin on it.
            if v_next <= clock_timestamp() then
                v_next := clock_timestamp() + interval '1 second';
            end if;
            perform pg_sleep_until(
                least(v_next, clock_timestamp() + interval '20 milliseconds', v_until)
            );
        elsif v_done < 0 then
            perform pg_sleep(1);
        end if;
        -- A new snapshot, so that the loop never holds back vacuum.
        commit;
    end loop;
end;
$$;

comment on procedure dispatch.run_sweep is
'The sweep''s loop: announces, expires and delivers until p_until (default: shortly before the '
'minute ends).';
revoke all on routine dispatch.run_sweep(timestamptz)
from public, anon, authenticated, service_role;
