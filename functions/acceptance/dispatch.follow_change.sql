-- Changes dispatch.windows; logs a broadcast.
create or replace function dispatch.follow_change(
    p_old dispatch.requests,
    p_new dispatch.requests
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_window dispatch.windows;
begin
    select * into v_window from dispatch.windows as w where w.request_id = p_old.id for update;
    if not found then
        return false;
    end if;
    if p_new.id <> p_old.id then
        update dispatch.windows set request_id = p_new.id where request_id = p_old.id;
    end if;

    if p_new.is_pending and p_old.is_pending then
        if v_window.announced_at is null and v_window.closed_at is null then
            if p_new.window_ends_at is null or p_new.preferred_mechanic_id is null then
                -- The mechanic is gone (the foreign key sets null), or a writer cleared a column:
                -- there is no window any more.
                update dispatch.requests set announced_at = now() where id = p_new.id;
            elsif p_new.window_ends_at <> v_window.ends_at then
                update dispatch.windows set ends_at = p_new.window_ends_at
                where request_id = p_new.id;
            end if;
        end if;
        return false;
    elsif p_new.is_pending then
        -- Back again: nobody is reserved for it, and everyone is told.
        update dispatch.windows
        set closed_at = null, announced_at = coalesce(announced_at, now())
        where request_id = p_new.id;
        if dispatch.favorites_priority_enabled() then
            perform dispatch.log_broadcast(p_new, null);
        end if;
        return false;
    elsif p_new.id is null then
        delete from dispatch.windows where request_id = p_old.id;
    else
        update dispatch.windows set closed_at = now()
        where request_id = p_new.id and closed_at is null;
    end if;
    -- What comes after the end is theirs alone.
    return v_window.closed_at is null and dispatch.favorites_priority_enabled();
end;
$$;

comment on function dispatch.follow_change(dispatch.requests, dispatch.requests) is
'On a marketplace that was there first: moves, announces or closes the window of a request as '
'its own statement (p_new null: its deletion) made it. Returns whether a transition is to be '
'logged.';
revoke all on function dispatch.follow_change(dispatch.requests, dispatch.requests)
from public, anon, authenticated, service_role;
