-- Changes dispatch.request_events; sends notices when that is cheap now (dispatch.claim_delivery).
-- Every transition comes here: few statements, each of which costs.
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
    v_event_id bigint;
    -- Whether this transaction sends its notices; else the loop does.
    v_is_sender boolean;
    v_payload text;
begin
    -- Ids are given before the commit, so a lower id can appear after a higher one. Until this
    -- transaction ends, the lock says that ids above this floor may still come; readers stop there
    -- (dispatch.last_settled_event_id). It is taken before the transaction's first id.
    v_event_id := case
        when
            coalesce(current_setting('dispatch.floor', true), '') = ''
            and pg_try_advisory_xact_lock_shared(
                1178687058,
                (
                    set_config(
                        'dispatch.floor',
                        coalesce(pg_sequence_last_value('dispatch.request_events_id_seq'), 0)::text,
                        true
                    )::bigint
                    & 2147483647
                )::integer
            )
            then nextval('dispatch.request_events_id_seq')
    end;
    if v_event_id is null then
        v_event_id := dispatch.next_event_id();
    end if;

    -- The sweep says that its notices are for later. Whoever forges that delays their own until the
    -- loop's next round, or sends them themselves. Far in the future the last ones may also have been
    -- sent: a clock can be set back.
    if coalesce(current_setting('dispatch.delivery', true), '') <> 'later' then
        v_is_sender := current_setting('dispatch.delivery', true) = 'now'
        or (
            abs(
                date_part('epoch', clock_timestamp()) * 1000
                - coalesce(pg_sequence_last_value('dispatch.last_delivery'), 0)
            ) >= 20
            and dispatch.claim_delivery()
        );
        -- As many notices as there are mechanics: a sweep, whose announcements all wait for its
        -- commit, leaves that to the loop.
        if
            v_is_sender and pg_relation_size('dispatch.blocks') > 0 and dispatch.governs_all()
            and coalesce(current_setting('dispatch.sweeping', true), '') <> ''
        then
            v_is_sender := not dispatch.is_spread(p_topics);
        end if;
    end if;

    -- A marketplace that was there first may have customers who do not sign in.
    p_topics := array_remove(p_topics, null);
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
        jsonb_build_object(
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
        ) || p_extra,
        case when v_is_sender or p_topics = '{}' then clock_timestamp() end
    )
    returning case when v_is_sender then (payload - 'decline_reason')::text end into v_payload;
    if v_is_sender then
        perform dispatch.send_notices(
            p_topics,
            array_fill(p_event, array[cardinality(p_topics)]),
            array_fill(v_payload, array[cardinality(p_topics)])
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
