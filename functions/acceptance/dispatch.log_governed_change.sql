-- Changes dispatch.windows, dispatch.request_events.
-- On a marketplace that was there first, and only for a request with a window: follows what its own
-- statements made of it.
create or replace function dispatch.log_governed_change()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_window dispatch.windows;
    v_old dispatch.requests := dispatch.as_request(old);
    v_new dispatch.requests;
begin
    select * into v_window from dispatch.windows as w where w.request_id = old.id for update;
    if not found then
        return null;
    end if;
    if tg_op = 'UPDATE' then
        v_new := dispatch.as_request(new);
    end if;

    if v_new.is_pending and v_old.is_pending then
        if v_window.announced_at is not null or v_window.closed_at is not null then
            return null;
        elsif v_new.window_ends_at is null or v_new.preferred_mechanic_id is null then
            -- The mechanic is gone (the foreign key sets null), or a writer cleared a column: there
            -- is no window any more.
            update dispatch.requests set announced_at = now() where id = old.id;
        elsif v_new.window_ends_at <> v_window.ends_at then
            update dispatch.windows set ends_at = v_new.window_ends_at where request_id = old.id;
        end if;
    elsif v_new.is_pending then
        -- Back again: nobody is reserved for it, and everyone is told.
        update dispatch.windows
        set closed_at = null, announced_at = coalesce(announced_at, now())
        where request_id = old.id;
        if dispatch.favorites_priority_enabled() then
            perform dispatch.log_broadcast(v_new, null);
        end if;
    elsif v_window.closed_at is null then
        if v_new.id is null then
            delete from dispatch.windows where request_id = old.id;
        else
            update dispatch.windows set closed_at = now() where request_id = old.id;
        end if;
        if dispatch.favorites_priority_enabled() then
            perform dispatch.log_transition(
                v_old,
                v_new,
                v_new.status = 'cancelled' and exists (
                    select from dispatch.payments as p where p.request_id = old.id and p.is_refunded
                )
            );
        end if;
    elsif v_new.id is null then
        delete from dispatch.windows where request_id = old.id;
    end if;
    return null;
end;
$$;

comment on function dispatch.log_governed_change() is
'Trigger on a marketplace that was there first: logs an accept, a cancellation, an end or a return of '
'a request with a window, whoever wrote it, and closes or moves its window.';
revoke all on function dispatch.log_governed_change()
from public, anon, authenticated, service_role;
