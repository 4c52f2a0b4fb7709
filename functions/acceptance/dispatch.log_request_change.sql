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
begin
    if
        new.status = old.status
        and new.notification_sent_at is not distinct from old.notification_sent_at
    then
        return null;  -- no transition
    end if;

    v_old := dispatch.as_request(old);
    if tg_op = 'UPDATE' then
        v_new := dispatch.as_request(new);
    end if;
    if v_old.announced_at is null and v_new.announced_at is not null and v_new.is_pending then
        perform dispatch.log_broadcast(
            v_new, dispatch.fallback_reason(v_old, v_new), v_old.window_ends_at
        );
    end if;
    if v_new.status is distinct from v_old.status then
        perform dispatch.log_transition(
            v_old, v_new, coalesce(new.metadata ? 'refunded_at', false)
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.log_request_change() is
'Trigger on a marketplace of ours: logs a broadcast, an accept, a completion, a cancellation, whoever '
'wrote it.';
revoke all on function dispatch.log_request_change()
from public, anon, authenticated, service_role;
