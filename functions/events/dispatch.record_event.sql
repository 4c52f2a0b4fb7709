-- Changes dispatch.request_events; sends notices when that is cheap now.
-- NOTIFY takes a database-wide lock until its commit is flushed, which ends group commit, and each
-- notifying commit wakes every listener. So a transaction sends its own notices only if nobody sent
-- any in the last 20 ms; the others leave theirs to the sweep's loop, which sends them in batches.
-- On an idle system notices go out with the commit; on a busy one intake keeps its speed.
create or replace function dispatch.record_event(
    p_request_id uuid,
    p_session_type text,
    p_plan_code text,
    p_requested_at timestamptz,
    p_event text,
    p_topics text[],
    p_extra jsonb default '{}',
    p_window_minutes integer default null,
    p_window_ends_at timestamptz default null
)
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
    v_payload jsonb;
    -- How this transaction delivers: now (dispatch.sweep does), or later. Whoever forges it delays
    -- their own notices until the loop's next round, or sends them themselves.
    v_delivery text := current_setting('dispatch.delivery', true);
    v_now bigint;  -- in milliseconds
begin
    -- Ids are given before the commit, so a lower id can appear after a higher one. Until this
    -- transaction ends, the lock says that ids above this floor may still come; readers stop there
    -- (dispatch.last_settled_event_id). It is taken before the transaction's first id, and then
    -- again: a lock of another floor for each of many events would fill the server's lock table.
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
        v_noted := set_config('dispatch.floor', v_floor::text, true);
        v_event_id := nextval('dispatch.request_events_id_seq');
    end if;
    -- A marketplace that was there first may have customers who do not sign in.
    if not dispatch.governs_all() then
        p_topics := array_remove(p_topics, null);
    end if;

    if v_delivery is null or v_delivery = '' then
        v_now := (date_part('epoch', clock_timestamp()) * 1000)::bigint;
        -- Far in the future it may also be: a clock can be set back.
        if abs(v_now - coalesce(pg_sequence_last_value('dispatch.last_delivery'), 0)) >= 20 then
            -- A full queue would fail the commit, and with it a paid request.
            if
                pg_notification_queue_usage() <= 0.5
                and pg_try_advisory_xact_lock(1178687058, -1)
            then
                perform setval('dispatch.last_delivery', v_now);
                v_delivery := set_config('dispatch.delivery', 'now', true);
                -- What others left, if the loop has not sent it for so long (it may have stopped).
                if exists (select from dispatch.request_events where delivered_at is null) then
                    perform dispatch.deliver_events(100);
                end if;
            end if;
        end if;
    end if;

    v_payload := jsonb_build_object(
        'event', p_event,
        'event_id', v_event_id,
        'request_id', p_request_id,
        'priority', coalesce(p_window_ends_at > now(), false),
        'window_minutes', p_window_minutes,
        'window_ends_at', p_window_ends_at,
        -- A notice over 8 KB would hold up all that are sent after it.
        'session_type', left(p_session_type, 64),
        'plan_code', left(p_plan_code, 64),
        'created_at', p_requested_at
    );
    if p_extra <> '{}' then
        v_payload := v_payload || p_extra;
    end if;
    insert into dispatch.request_events (
        id, request_id, event, actor_id, topics, payload, delivered_at
    )
    overriding system value
    values (
        v_event_id,
        p_request_id,
        p_event,
        auth.uid(),
        p_topics,
        v_payload,
        case when v_delivery = 'now' or p_topics = '{}' then clock_timestamp() end
    );

    if v_delivery = 'now' then
        perform dispatch.send_notices(
            p_topics,
            array_fill(p_event, array[cardinality(p_topics)]),
            array_fill((v_payload - 'decline_reason')::text, array[cardinality(p_topics)])
        );
    end if;
    return v_event_id;
end;
$$;

comment on function dispatch.record_event(
    uuid, text, text, timestamptz, text, text[], jsonb, integer, timestamptz
) is
'Appends a transition to the event log and has it delivered: by this transaction, or by the '
'sweep''s loop within 20 ms. The window is that of a request not yet broadcast. Returns the '
'event''s id.';
revoke all on function dispatch.record_event(
    uuid, text, text, timestamptz, text, text[], jsonb, integer, timestamptz
) from public, anon, authenticated, service_role;
