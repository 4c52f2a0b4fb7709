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
        p_until,
        pg_catalog.date_trunc('minute', pg_catalog.clock_timestamp()) + interval '59.9 seconds'
    );
    v_now timestamptz;
    v_sweep_at timestamptz := timestamptz '-infinity';
    v_next timestamptz;
    v_left timestamptz;
    v_presence_at timestamptz := timestamptz '-infinity';
    v_done integer;
begin
    loop
        v_now := pg_catalog.clock_timestamp();
        begin
            v_done := 0;
            if v_now >= v_sweep_at then
                v_done := dispatch.sweep(1000, v_now);
                if v_done = 0 then
                    v_next := least(
                        v_until,
                        (select w.ends_at from dispatch.pending_windows('infinity', 1) as w),
                        (
                            select r.expires_at from public.session_requests as r
                            where r.status = 'pending' order by r.expires_at limit 1
                        )
                    );
                    -- Due and yet not done: somebody holds that row for a moment, or, if it is
                    -- the same again, some trigger raises on it. Trying that one each 20 ms would
                    -- fill the server's log and take its processor; notices go on meanwhile.
                    if v_next <= v_now then
                        v_sweep_at := v_now + case
                            when v_next = v_left then interval '1 second'
                            else interval '20 milliseconds'
                        end;
                        v_left := v_next;
                    end if;
                end if;
            end if;
            v_done := v_done + dispatch.deliver_events(1000);
            if v_now >= v_presence_at then
                -- Put off before it is tried: a trigger of the marketplace's own that raises on
                -- mechanics must not hold up the announcements.
                v_presence_at := v_now + interval '15 seconds';
                if dispatch.mark_silent_mechanics_offline(1000, v_now) = 1000 then
                    v_presence_at := v_now;
                end if;
            end if;
        exception
            -- Whatever it is (a lock timeout, a full disk), the next round tries again.
            when others then
                raise warning 'sweep failed, trying again: %', sqlerrm;
                v_done := -1;
        end;
        commit;
        exit when pg_catalog.clock_timestamp() >= v_until;

        if v_done = 0 then
            perform pg_catalog.pg_sleep_until(
                least(
                    greatest(v_next, v_sweep_at),
                    pg_catalog.clock_timestamp() + interval '20 milliseconds',
                    v_until
                )
            );
        elsif v_done < 0 then
            perform pg_catalog.pg_sleep(1);
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
