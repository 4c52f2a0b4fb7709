-- Changes public.mechanics, or dispatch.presence, through dispatch.mechanics; dispatch.unanswered,
-- dispatch.request_events.
create or replace function dispatch.set_away(p_request dispatch.requests)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- On a marketplace that was there first no lock on the mechanic's row holds what they said: as it
    -- is read below, it must be what is written over (dispatch.remember_presence).
    if
        not dispatch.governs_all()
        and not pg_try_advisory_xact_lock(
            hashtextextended('presence of ' || p_request.preferred_mechanic_id, 1178687058)
        )
    then
        return;
    end if;
    -- Nobody has seen them, so that the time of it stays. But it must be later than what their page
    -- was told last: by that it knows, before its next heartbeat, that they are online no more, and
    -- leaves it to them to say so again.
    update dispatch.mechanics as m
    set is_online = false, last_seen_at = m.last_seen_at + interval '1 millisecond'
    where
        m.id = (
            select w.id from dispatch.mechanics as w
            where w.id = p_request.preferred_mechanic_id and w.is_online
            for update skip locked
        );
    if not found then
        return;  -- the next window that ends so tries again
    end if;
    delete from dispatch.unanswered where mechanic_id = p_request.preferred_mechanic_id;
    perform dispatch.record_event(
        p_request.id,
        p_request.session_type,
        p_request.plan_code,
        p_request.created_at,
        'mechanic_away',
        array['mechanic:' || p_request.preferred_user_id]
    );
    perform dispatch.ask_deferred();
exception
    -- Some trigger of the marketplace's own: the announcement must not wait for that.
    when assert_failure or others then
        raise warning 'mechanic % is not set away: %', p_request.preferred_mechanic_id, sqlerrm;
end;
$$;

comment on function dispatch.set_away(dispatch.requests) is
'The favourite of this request says to be online and answers nothing: from now on they are away, '
'and told so.';
revoke all on function dispatch.set_away(dispatch.requests)
from public, anon, authenticated, service_role;
