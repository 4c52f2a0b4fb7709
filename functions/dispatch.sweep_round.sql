-- One round of the loop that pg_cron runs for most of each minute (sql/platform/schedule.sql).
-- With nothing to do it sleeps until the next deadline, at most 20 ms: that is also how long a
-- notice waits that a busy transaction left here (see dispatch.record_event).
create or replace function dispatch.sweep_round(p_sweep_at timestamptz, p_until timestamptz)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_sweep_at timestamptz := timestamptz '-infinity';
    v_next timestamptz;
    v_done integer := 0;
begin
    begin
        if v_now < p_sweep_at then
            v_sweep_at := p_sweep_at;
        else
            v_done := dispatch.sweep(1000, v_now);
            if v_done = 0 then
                v_next := least(
                    p_until,
                    (select w.ends_at from dispatch.pending_windows('infinity', 1) as w),
                    (
                        select r.expires_at from public.session_requests as r
                        where r.status = 'pending' order by r.expires_at limit 1
                    )
                );
                -- Due and yet not done: somebody holds that row for a moment, or, the longer it is
                -- due, some trigger raises on it. Trying that one each 20 ms would fill the
                -- server's log and take its processor; notices go on meanwhile.
                if v_next <= v_now then
                    v_sweep_at := v_now + greatest(
                        interval '20 milliseconds',
                        v_now - greatest(v_next, v_now - interval '1 second')
                    );
                end if;
            end if;
        end if;
        v_done := v_done + dispatch.deliver_events(1000);
    exception
        -- Whatever it is (a lock timeout, a full disk), a later round tries again.
        when others then
            raise warning 'sweep failed, trying again: %', sqlerrm;
            perform pg_sleep(1);
    end;

    -- Nothing was written: the round that has something to tell begins after this sleep, commits
    -- at once, and so no notice waits for a sleep.
    if v_done = 0 then
        perform pg_sleep_until(
            least(
                greatest(v_next, v_sweep_at),
                clock_timestamp() + interval '20 milliseconds',
                p_until
            )
        );
    end if;
    return case when clock_timestamp() < p_until then v_sweep_at end;
end;
$$;

comment on function dispatch.sweep_round(timestamptz, timestamptz) is
'Announces and expires what is due, unless it is before p_sweep_at, and delivers. Returns the next '
'round''s p_sweep_at; null: it is p_until.';
revoke all on function dispatch.sweep_round(timestamptz, timestamptz)
from public, anon, authenticated, service_role;
