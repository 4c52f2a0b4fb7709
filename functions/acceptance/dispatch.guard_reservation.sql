-- On a marketplace that was there first, and only for a request with a window. What its statements
-- do is its own affair, but for what would break a reservation: that finds no row, as when somebody
-- was faster. It never raises. It runs first, so that theirs do not run for a row that is not
-- found, and last, for what theirs made of it.
create or replace function dispatch.guard_reservation()
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
    v_assigned_id uuid;
    v_window record;
    v_ends_at timestamptz;
    v_announced_at timestamptz;
    v_is_due boolean := false;
    v_is_step boolean;
    v_is_open boolean;
begin
    -- Who gave it back, or did not come, does not get it again.
    if new.mechanic_id is not null and new.mechanic_id is distinct from old.mechanic_id then
        if
            exists (
                select from dispatch.windows as w
                where w.request_id = old.id and w.closed_at is null
            )
            and exists (
                select from dispatch.exclusions as x
                inner join dispatch.mechanics as m on x.user_id = m.user_id
                where
                    x.request_id = old.id and x.event = 'request_released'
                    and new.mechanic_id
                    = case when dispatch.assigns_user_id() then m.user_id else m.id end
            )
            and dispatch.favorites_priority_enabled()
        then
            return null;
        end if;
    end if;

    -- By this column the triggers know what is governed. Cleared, it says what null minutes say:
    -- that there is no window any more.
    if new.priority_notified_at is null and dispatch.favorites_priority_enabled() then
        if
            exists (
                select from dispatch.windows as w
                where w.request_id = old.id and (w.closed_at is null or new.status = 'pending')
            )
        then
            new.priority_notified_at := old.priority_notified_at;
            -- (In a column that was theirs before, null may not be possible.)
            new.priority_window_minutes := case
                when
                    exists (
                        select from pg_catalog.pg_attribute as a
                        where
                            a.attrelid = tg_relid and a.attname = 'priority_window_minutes'
                            and a.attnotnull
                    ) then 0
            end;
        end if;
    end if;
    if dispatch.max_open_sessions() is not null then
        if (new.status, new.mechanic_id) is distinct from (old.status, old.mechanic_id) then
            select w.closed_at is null into v_is_open
            from dispatch.windows as w where w.request_id = old.id;
            if
                v_is_open and new.mechanic_id is not null
                and (new.status = 'accepted' or new.mechanic_id is distinct from old.mechanic_id)
            then
                perform dispatch.lock_sessions(new.mechanic_id);
                if dispatch.is_at_capacity(new.mechanic_id, new.mechanic_id, old.id) then
                    return null;
                end if;
            end if;
            if v_is_open is not null then
                perform dispatch.follow_capacity(old.id, array[old.mechanic_id, new.mechanic_id]);
            end if;
        end if;
    end if;
    -- Not governed, or not any more: ended, or nobody's since the flag was turned.
    select w.ends_at, w.announced_at into v_ends_at, v_announced_at
    from dispatch.windows as w
    where w.request_id = old.id and w.closed_at is null;
    if not found or not dispatch.favorites_priority_enabled() then
        return new;
    end if;
    v_new := dispatch.as_request(new);
    -- Who is never to hear of the customer has never heard of the request either.
    if
        new.mechanic_id is distinct from old.mechanic_id
        and dispatch.is_blocked(v_new.mechanic_user_id, v_new.customer_id)
    then
        return null;
    end if;
    -- Everyone else's since the broadcast.
    if v_announced_at is not null then
        return new;
    end if;
    v_old := dispatch.as_request(old);
    -- Whose turn it is by the clock, told or not.
    if v_old.window_ends_at <= now() and v_ends_at = v_old.window_ends_at and v_old.is_pending then
        v_window := dispatch.priority_window(v_old);
        v_is_due := v_window.ends_at > v_ends_at;
        if
            v_is_due
            and coalesce(new.preferred_mechanic_id, old.preferred_mechanic_id)
            in (old.preferred_mechanic_id, v_window.mechanic_id)
        then
            v_ends_at := v_window.ends_at;
            new.preferred_mechanic_id := v_window.mechanic_id;
            new.priority_window_minutes := v_window.window_minutes;
            new.priority_notified_at
            := v_ends_at - make_interval(mins => v_window.window_minutes);
            v_new := dispatch.as_request(new);
        end if;
    end if;
    -- Or as the engine has just written of it.
    v_is_step := v_ends_at <> v_old.window_ends_at and v_ends_at = v_new.window_ends_at;
    if v_is_step then
        v_old := dispatch.with_window_of(v_old, v_new);
    end if;
    -- (Of a step that has not been taken yet it would begin anew.)
    if not v_is_due then
        v_window := dispatch.priority_window(v_old);
    end if;

    -- What is over did not end at no time: from its end on is counted how long the request lives.
    if not isfinite(new.priority_notified_at) and (v_window.ends_at > now()) is not true then
        new.priority_notified_at := old.priority_notified_at;
        v_new := dispatch.as_request(new);
    end if;
    -- No window is opened that was over, made longer, or given to another; and it is known by the
    -- request's id.
    if
        v_new.window_ends_at > v_old.window_ends_at
        or v_new.preferred_mechanic_id <> v_old.preferred_mechanic_id
        or new.id <> old.id
    then
        return null;
    end if;
    if v_window.ends_at > now() then
        select case when dispatch.assigns_user_id() then m.user_id else m.id end
        into v_assigned_id
        from dispatch.mechanics as m
        where m.id = v_window.mechanic_id;
        -- (One whom theirs assigned while it was their turn, and who did not accept, may stand there.)
        if
            (new.mechanic_id is not null or v_new.status = 'accepted')
            and new.mechanic_id is distinct from v_assigned_id
            and (new.mechanic_id, new.status) is distinct from (old.mechanic_id, old.status)
        then
            return null;
        end if;
        if tg_name = 'zzz_dispatch_guard' and not v_is_step then
            v_ends_at := coalesce(v_new.window_ends_at, v_old.window_ends_at);
            -- One that would have been over before is over now.
            if v_ends_at < now() then
                v_ends_at := now();
                new.priority_window_minutes := least(greatest(new.priority_window_minutes, 0), 60);
                new.priority_notified_at
                := v_ends_at - make_interval(mins => new.priority_window_minutes);
            end if;
            -- Whenever theirs say how long it lives, that is counted from the window's end; and a
            -- shorter window takes nothing from the time after it.
            if (v_new.expires_at between '2000-01-01' and '9999-12-31') is not true then
                null;  -- never, or at a time of which no sum may be in range
            elsif v_new.expires_at is distinct from v_old.expires_at then
                new.expires_at := new.expires_at + (v_ends_at - now());
            elsif v_ends_at < v_old.window_ends_at then
                new.expires_at := new.expires_at + (v_ends_at - v_old.window_ends_at);
            end if;
        end if;
        -- Their expiry knows nothing of the window where it goes by no column that dispatch.route_request
        -- moved, or by one that they compute.
        if
            v_new.status = 'expired' and v_old.is_pending
            and coalesce(v_old.expires_at < v_window.ends_at, true)
        then
            return null;
        end if;
    end if;
    if tg_name = 'zzz_dispatch_guard' and v_is_step then
        if v_is_due then
            perform dispatch.take_steps(dispatch.as_request(old), now(), false);
            update dispatch.windows set ends_at = v_ends_at where request_id = old.id;
        end if;
        -- It lives as long after this window as it would have after that one.
        if
            v_new.expires_at between '2000-01-01' and '9999-12-31'
            and v_new.expires_at = v_old.expires_at
        then
            new.expires_at := new.expires_at + (v_ends_at - (dispatch.as_request(old)).window_ends_at);
        end if;
    end if;
    return new;
end;
$$;

comment on function dispatch.guard_reservation() is
'Trigger on a marketplace that was there first: an accept by another inside the window, or by who '
'gave it back or is blocked, and an update that hands the reservation on or makes it longer, find '
'no row.';
revoke all on function dispatch.guard_reservation()
from public, anon, authenticated, service_role;
