-- NOTIFY takes a database-wide lock until its commit is flushed, which ends group commit, and each
-- notifying commit wakes every listener. So at most one transaction in 20 ms sends its own
-- notices; the others leave them to the sweep's loop, which sends them in batches. On an idle
-- system notices go out with the commit; on a busy one intake keeps its speed.
create or replace function dispatch.claim_delivery()
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_now_ms bigint := (extract(epoch from clock_timestamp()) * 1000)::bigint;
    v_claimed_by text := current_setting('dispatch.delivery_claimed_by', true);
begin
    -- Claimed earlier in this transaction, or left to a batch at its end (dispatch.sweep).
    if v_claimed_by = pg_current_xact_id()::text then
        return true;
    elsif v_claimed_by = 'batch' then
        return false;
    end if;

    if
        v_now_ms - coalesce(pg_sequence_last_value('dispatch.last_inline_delivery'), 0)
        between 0 and 19
        -- A full queue would fail the commit, and with it a paid request.
        or pg_notification_queue_usage() > 0.5
        or not pg_try_advisory_xact_lock(1178687058, -1)
    then
        return false;
    end if;
    perform setval('dispatch.last_inline_delivery', v_now_ms);
    perform set_config('dispatch.delivery_claimed_by', pg_current_xact_id()::text, true);
    return true;
end;
$$;

comment on function dispatch.claim_delivery() is
'Whether this transaction is to send notices itself; else the sweep''s loop does.';
revoke all on function dispatch.claim_delivery() from public, anon, authenticated, service_role;
