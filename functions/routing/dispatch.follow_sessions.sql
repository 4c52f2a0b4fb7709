-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.follow_sessions()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if dispatch.max_open_sessions() is null then
        return;
    end if;
    perform dispatch.end_full_windows(w.mechanic_id)
    from (
        select distinct r.preferred_mechanic_id as mechanic_id
        from dispatch.requests as r
        where r.is_pending and r.announced_at is null and r.window_began_at is not null
    ) as w;
end;
$$;

comment on function dispatch.follow_sessions() is
'Moves on the open windows of all mechanics who are at capacity: by a new limit, by a session of a '
'marketplace that was there first in which the engine has no part, or where a window was held by '
'somebody when its mechanic''s hands were full.';
revoke all on function dispatch.follow_sessions()
from public, anon, authenticated, service_role;
