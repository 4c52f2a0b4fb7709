-- Changes dispatch.windows; public.session_requests.expires_at. The broadcast of a request of
-- theirs: what an UPDATE of dispatch.requests.announced_at does there, as its table has no column
-- for it. (Of ours it is notification_sent_at, and the triggers log it.)
create or replace function dispatch.announce_window()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
#variable_conflict use_variable
declare
    v_step dispatch.requests;
    v_reason text;
begin
    -- First, as whoever accepts or cancels it does: in the other order each could wait for the other.
    perform from public.session_requests as r where r.id = old.id for update;
    -- Whoever held it may have moved it on: what was found then is another's window now.
    perform from dispatch.windows as w
    where
        w.request_id = old.id and w.announced_at is null and w.closed_at is null
        and w.ends_at is not distinct from old.window_ends_at
    for update;
    if not found then
        return null;
    end if;
    -- It is the next favourite's before it is everyone's.
    if exists (select from dispatch.steps as s where s.request_id = old.id) then
        v_step := dispatch.take_steps(
            old, coalesce(new.announced_at, now()), new.announced_at is not null
        );
        new.announced_at := v_step.announced_at;
        if v_step.preferred_mechanic_id is distinct from old.preferred_mechanic_id then
            old := v_step;
            -- Whoever announced it, the sweep for one, is told whose window it was.
            new := dispatch.with_window_of(new, old);
            -- In this order: dispatch.guard_reservation lets pass what stands here.
            update dispatch.windows set ends_at = old.window_ends_at where request_id = old.id;
            update public.session_requests
            set
                preferred_mechanic_id = old.preferred_mechanic_id,
                priority_window_minutes = old.window_minutes,
                priority_notified_at = old.window_began_at
            where id = old.id;
        end if;
    end if;
    update dispatch.windows set announced_at = new.announced_at where request_id = old.id;
    -- It lives as long after its broadcast as it would have after its booking. (While a window is
    -- open, the guard sees to that.)
    if old.expires_at is not null and new.announced_at is not null then
        perform dispatch.live_on(old.id, new.announced_at - old.window_ends_at);
    end if;
    if new.announced_at is not null then
        -- Where a writer cleared the columns, nothing says any more for whom it was.
        v_reason := coalesce(dispatch.fallback_reason(old, new.announced_at), 'mechanic_gone');
        perform dispatch.log_broadcast(old, v_reason);
        -- (Of its own windows the sweep sees to that, of all at once.)
        if
            v_reason = 'window_ended'
            and coalesce(current_setting('dispatch.sweeping', true), '') = ''
        then
            perform dispatch.note_silence(old);
        end if;
    end if;
    return new;
end;
$$;

comment on function dispatch.announce_window() is
'Trigger on dispatch.requests, on a marketplace that was there first: the request is everyone''s '
'now.';
revoke all on function dispatch.announce_window()
from public, anon, authenticated, service_role;
