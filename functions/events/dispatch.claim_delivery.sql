-- Changes dispatch.last_delivery.
-- NOTIFY takes a database-wide lock until its commit is flushed, which ends group commit, and each
-- notifying commit wakes every listener. So a transaction sends its own notices only if nobody sent
-- any in the last 20 ms; the others leave theirs to the sweep's loop, which sends them in batches.
-- On an idle system notices go out with the commit; on a busy one intake keeps its speed.
create or replace function dispatch.claim_delivery()
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A full queue would fail the commit, and with it a paid request.
    if pg_notification_queue_usage() > 0.5 or not pg_try_advisory_xact_lock(1178687058, -1) then
        return false;
    end if;
    perform setval(
        'dispatch.last_delivery', (date_part('epoch', clock_timestamp()) * 1000)::bigint
    );
    perform set_config('dispatch.delivery', 'now', true);
    -- What others left, if the loop has not sent it for so long (it may have stopped).
    if
        (
            select e.id from dispatch.request_events as e
            where e.delivered_at is null
            -- In the index's order: without one a plan reads all of the log, once there were many.
            order by e.delivered_at, e.id
            limit 1
        ) is not null
    then
        perform dispatch.deliver_events(100);
    end if;
    return true;
end;
$$;

comment on function dispatch.claim_delivery() is
'Whether this transaction is the one that sends its notices itself, now that nobody sent any for a '
'while; then it sends those that were left, too.';
revoke all on function dispatch.claim_delivery() from public, anon, authenticated, service_role;
