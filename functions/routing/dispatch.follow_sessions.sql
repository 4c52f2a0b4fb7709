-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.follow_sessions()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.end_lost_windows(w.mechanic_id)
    from (
        select distinct r.preferred_mechanic_id as mechanic_id
        from dispatch.requests as r
        where
            r.is_pending and r.announced_at is null and r.window_began_at is not null
            and (
                dispatch.max_open_sessions() is not null
                -- Not a call for each: there may be many, and of few is there anything to do.
                or r.preferred_mechanic_id not in (
                    select m.id from dispatch.mechanics as m
                    where m.is_approved and m.user_id is not null
                )
                or (r.preferred_user_id, r.customer_id) in (
                    select b.user_id, b.other_id from dispatch.blocks as b
                )
            )
    ) as w;
end;
$$;

comment on function dispatch.follow_sessions() is
'Moves on the open windows of all mechanics who cannot have them any more: at capacity, by a new '
'limit or by a session of a marketplace that was there first in which the engine has no part; or '
'where the window was held by somebody when its mechanic went, was blocked, or had full hands.';
revoke all on function dispatch.follow_sessions()
from public, anon, authenticated, service_role;
