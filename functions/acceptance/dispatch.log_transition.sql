-- Changes dispatch.request_events.
create or replace function dispatch.log_transition(
    p_old dispatch.requests,
    p_new dispatch.requests,
    p_is_refunded boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests := p_new;
    v_customer text := 'customer:' || p_old.customer_id;
    -- Who besides the customer had been told: everyone after the broadcast, or once the window was
    -- over (the list shows the request from then on); before that, the preferred mechanic.
    v_told text := 'session_requests_feed';
    v_winner text;
    v_topics text[];
    v_window record;
    v_window_minutes integer;
    v_window_ends_at timestamptz;
begin
    if p_old.is_pending and p_old.announced_at is null then
        v_window := dispatch.priority_window(p_old);
        v_window_minutes := v_window.window_minutes;
        v_window_ends_at := v_window.ends_at;
        if v_window_ends_at > now() then
            v_told := 'mechanic:' || (
                select m.user_id from dispatch.mechanics as m where m.id = v_window.mechanic_id
            );
        end if;
    end if;
    if p_new.status = 'accepted' then
        v_winner := 'mechanic:' || p_new.mechanic_user_id;
        v_topics := array[v_customer, v_winner];
        if v_told is distinct from v_winner then
            v_topics := v_topics || v_told;
        end if;
        perform dispatch.record_event(
            p_new, 'request_accepted', array_remove(v_topics, null), '{}',
            v_window_minutes, v_window_ends_at
        );
        return;
    end if;

    if p_old.status = 'accepted' then
        v_told := 'mechanic:' || p_old.mechanic_user_id;
    end if;
    v_topics := array_remove(array[v_customer, v_told], null);
    if p_new.status = 'completed' then
        perform dispatch.record_event(p_new, 'request_completed', v_topics);
    elsif p_new.id is null or p_new.status in ('cancelled', 'expired') then
        if p_new.id is null then
            v_request := p_old;
        end if;
        perform dispatch.record_event(
            v_request,
            'request_cancelled',
            v_topics,
            jsonb_build_object(
                'reason',
                case
                    when p_new.status = 'expired' then 'expired'
                    when p_is_refunded then 'refunded'
                    else 'cancelled'
                end
            ),
            v_window_minutes,
            v_window_ends_at
        );
    else
        -- A word of the marketplace's own: kept, and told to nobody, as clients know no such event.
        perform dispatch.record_event(p_new, 'request_' || left(p_new.status, 50), '{}');
    end if;
end;
$$;

comment on function dispatch.log_transition(dispatch.requests, dispatch.requests, boolean) is
'Logs that a request''s status changed, or (p_new is null) that it was deleted: an accept, a '
'completion, a cancellation; a status that the contract does not know is logged only.';
revoke all on function dispatch.log_transition(dispatch.requests, dispatch.requests, boolean)
from public, anon, authenticated, service_role;
