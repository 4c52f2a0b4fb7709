-- Changes dispatch.windows; public.session_requests.expires_at. The broadcast of a request of
-- theirs: what an UPDATE of dispatch.requests.announced_at does there, as its table has no column
-- for it. (Of ours it is notification_sent_at, and the triggers log it.)
create or replace function dispatch.announce_window()
returns trigger
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- First, as whoever accepts or cancels it does: in the other order each could wait for the other.
    perform from public.session_requests as r where r.id = old.id for update;
    update dispatch.windows
    set announced_at = new.announced_at
    where request_id = old.id and announced_at is null and closed_at is null;
    if not found then
        return null;
    end if;
    -- It lives as long after its broadcast as it would have after its booking.
    if old.expires_at is not null then
        perform dispatch.live_on(old.id, new.announced_at - old.window_ends_at);
    end if;
    perform dispatch.log_broadcast(
        new,
        -- Where a writer cleared the columns, nothing says any more for whom it was.
        coalesce(dispatch.fallback_reason(old, new.announced_at), 'mechanic_gone'),
        old.window_ends_at
    );
    return new;
end;
$$;

comment on function dispatch.announce_window() is
'Trigger on dispatch.requests, on a marketplace that was there first: the request is everyone''s '
'now.';
revoke all on function dispatch.announce_window()
from public, anon, authenticated, service_role;
