-- On a marketplace that was there first, and only for a booking that names a favourite. Last of all
-- triggers before the insert, so that theirs see what they always saw, and their expiry is known.
create or replace function dispatch.open_window()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests := dispatch.as_request(new);
    v_window record;
begin
    -- Imported, or the row that an upsert gives to one that is there: dispatch.guard_reservation
    -- looks at that.
    if
        not v_request.is_pending
        or exists (select from public.session_requests as r where r.id = new.id)
    then
        return new;
    end if;

    if v_request.preferred_mechanic_id is not null and dispatch.favorites_priority_enabled() then
        v_window := dispatch.grant_window(
            v_request.preferred_mechanic_id,
            v_request.customer_id,
            v_request.window_minutes::text,
            false
        );
        if v_window.reason is not null then
            perform dispatch.note_routing_reason(new.id, v_window.reason);
        end if;
        if v_window.minutes is not null then
            -- Nobody else's until it is accepted.
            new.mechanic_id := null;
            new.priority_window_minutes := v_window.minutes;
            new.priority_notified_at := dispatch.window_began_at(
                v_request.window_began_at, v_window.minutes
            );
            -- It lives as long after the window as it would have from now on.
            if v_request.expires_at is not null then
                new.expires_at := new.expires_at + (
                    new.priority_notified_at
                    + make_interval(mins => new.priority_window_minutes) - now()
                );
            end if;
            return new;
        end if;
    end if;

    new.preferred_mechanic_id := null;
    new.priority_window_minutes := null;
    new.priority_notified_at := null;
    return new;
end;
$$;

comment on function dispatch.open_window() is
'Trigger on a marketplace that was there first: opens the window of a booking that names a '
'favourite, or takes the three columns out, as if none had been named.';
revoke all on function dispatch.open_window() from public, anon, authenticated, service_role;
