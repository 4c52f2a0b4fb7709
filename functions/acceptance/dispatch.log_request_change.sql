-- Changes dispatch.request_events.
create or replace function dispatch.log_request_change()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old dispatch.requests;
    v_new dispatch.requests;
    -- Not read off v_old, which most accepts leave empty: to look into it would fill it.
    v_is_unannounced boolean;
    v_plan_code text;
    v_created_at timestamptz;
    v_customer text := 'customer:' || old.customer_id;
    -- Who besides the customer had been told: everyone after the broadcast, or once the window was
    -- over (the list shows the request from then on); before that, the preferred mechanic.
    v_told text := 'session_requests_feed';
    v_taken_by uuid;
    v_window record;
    v_answered_by uuid;
    v_window_minutes integer;
    v_window_ends_at timestamptz;
    v_reason text;
begin
    if dispatch.max_open_sessions() is not null then
        if (new.status, new.mechanic_id) is distinct from (old.status, old.mechanic_id) then
            perform dispatch.follow_capacity(old.id, array[old.mechanic_id, new.mechanic_id]);
        end if;
    end if;
    if dispatch.governs_all() then
        if
            new.status = old.status
            and (old.notification_sent_at is not null or new.notification_sent_at is null)
        then
            return null;  -- no transition
        end if;
        -- One that was broadcast has no window, and its row says all that is needed here.
        if old.notification_sent_at is null then
            v_old := dispatch.as_request(old);
            v_is_unannounced := v_old.is_pending;
            -- Another favourite's turn came with this statement.
            if v_is_unannounced and v_old.window_began_at is not null then
                if new.preferred_mechanic_id <> old.preferred_mechanic_id then
                    v_old := dispatch.with_window_of(v_old, dispatch.as_request(new));
                end if;
            end if;
            if
                new.notification_sent_at is not null and new.status = 'pending'
                and v_is_unannounced
            then
                -- Of its own windows the sweep tells, and sees who let them pass, of all at once. (The
                -- setting can be forged, by whoever has the owner's session.)
                if
                    current_setting('dispatch.batch', true) = pg_trigger_depth()::text
                    and session_user = current_user
                then
                    return null;
                end if;
                v_reason := dispatch.fallback_reason(v_old, new.notification_sent_at);
                perform dispatch.log_broadcast(v_old, v_reason);
                -- (Though the sweep's are told one by one, it counts them together.)
                if
                    v_reason = 'window_ended'
                    and coalesce(current_setting('dispatch.sweeping', true), '') = ''
                then
                    perform dispatch.note_silence(v_old);
                end if;
            end if;
            if new.status = old.status then
                return null;
            end if;
        end if;
        v_plan_code := old.plan_code;
        v_created_at := old.created_at;
        v_taken_by := coalesce(new.mechanic_id, old.mechanic_id);
    else
        v_old := dispatch.as_request(old);
        if tg_op = 'UPDATE' then
            v_new := dispatch.as_request(new);
            if
                (
                    v_new.id, v_new.status, v_new.preferred_mechanic_id, v_new.window_minutes,
                    v_new.window_began_at
                )
                is not distinct from
                (
                    v_old.id, v_old.status, v_old.preferred_mechanic_id, v_old.window_minutes,
                    v_old.window_began_at
                )
            then
                return null;  -- nothing of the engine's
            end if;
        end if;
        if not dispatch.follow_change(v_old, v_new) then
            return null;
        end if;
        v_plan_code := v_old.plan_code;
        v_created_at := v_old.created_at;
        v_taken_by := v_new.mechanic_user_id;
        v_is_unannounced := v_old.is_pending and v_old.announced_at is null;
        if v_is_unannounced and v_new.preferred_mechanic_id <> v_old.preferred_mechanic_id then
            v_old := dispatch.with_window_of(v_old, v_new);
        end if;
    end if;

    if v_is_unannounced then
        -- Whoever writes has written whose turn it was; whoever deletes has not.
        if tg_op = 'DELETE' and v_old.window_ends_at <= now() then
            v_old := dispatch.take_steps(v_old, now(), false);
        end if;
        -- As dispatch.priority_window, without the price of a call in every accept by the favourite,
        -- of whom the guard has seen that it is theirs.
        if
            new.status = 'accepted' and v_taken_by = v_old.preferred_user_id
            and v_old.window_ends_at > now()
            and dispatch.governs_all() and dispatch.favorites_priority_enabled()
        then
            v_answered_by := v_old.preferred_mechanic_id;
            v_window_minutes := v_old.window_minutes;
            v_window_ends_at := v_old.window_ends_at;
        else
            v_window := dispatch.priority_window(v_old);
            if new.status = 'accepted' and v_taken_by = v_window.user_id then
                v_answered_by := v_window.mechanic_id;
            end if;
            v_window_minutes := v_window.window_minutes;
            v_window_ends_at := v_window.ends_at;
        end if;
        -- Nobody has a turn in another of this id.
        if tg_op = 'DELETE' then
            perform dispatch.remove_steps(old.id);
        end if;
        if v_window_ends_at > now() then
            v_told := 'mechanic:' || v_old.preferred_user_id;
        end if;
        if v_answered_by is not null then
            perform dispatch.note_answer(v_answered_by, old.id);
        -- Nobody has told them that it is over.
        elsif v_old.window_ends_at <= now() and v_window_ends_at = v_old.window_ends_at then
            perform dispatch.note_silence(v_old);
        end if;
    end if;
    if new.status = 'accepted' then
        -- As a condition, since "perform" would plan and run a query.
        if
            dispatch.record_event(
                old.id, old.session_type::text, v_plan_code, v_created_at, 'request_accepted',
                array[
                    v_customer, 'mechanic:' || v_taken_by,
                    nullif(v_told, 'mechanic:' || v_taken_by)
                ],
                '{}', v_window_minutes, v_window_ends_at
            ) is not null
        then
            return null;
        end if;
    end if;

    if tg_op = 'UPDATE' and new.status = 'pending' and dispatch.governs_all() then
        -- Back again (of ours; dispatch.follow_change logs it of another's), and no fallback.
        perform dispatch.log_broadcast(dispatch.as_request(old), null);
        return null;
    end if;
    if old.status = 'accepted' then
        v_told := 'mechanic:' || v_taken_by;
    end if;
    if tg_op = 'UPDATE' and new.status = 'completed' then
        perform dispatch.record_event(
            old.id, old.session_type::text, v_plan_code, v_created_at, 'request_completed',
            array[v_customer, v_told]
        );
    -- (One of another's that is pending here was taken off.)
    elsif tg_op = 'DELETE' or new.status in ('pending', 'cancelled', 'expired') then
        if tg_op = 'UPDATE' and new.status = 'expired' then
            v_reason := 'expired';
        elsif dispatch.governs_all() then
            v_reason := case when new.metadata ? 'refunded_at' then 'refunded' else 'cancelled' end;
        else
            v_reason := case
                when
                    exists (
                        select from dispatch.payments as p
                        where p.request_id = old.id and p.is_refunded
                    ) then 'refunded'
                else 'cancelled'
            end;
        end if;
        perform dispatch.record_event(
            old.id, old.session_type::text, v_plan_code, v_created_at, 'request_cancelled',
            array[v_customer, v_told], jsonb_build_object('reason', v_reason),
            v_window_minutes, v_window_ends_at
        );
    else
        -- A word of the marketplace's own: kept, and told to nobody, as clients know no such event.
        perform dispatch.record_event(
            old.id, old.session_type::text, v_plan_code, v_created_at,
            'request_' || left(new.status::text, 50), '{}'
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.log_request_change() is
'Trigger: logs a broadcast, an accept, a completion, a cancellation, whoever wrote it. On a '
'marketplace that was there first it sees requests with a window only.';
revoke all on function dispatch.log_request_change()
from public, anon, authenticated, service_role;
