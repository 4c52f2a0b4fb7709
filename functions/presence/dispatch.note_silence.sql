-- Changes dispatch.unanswered; at the second in a row the mechanic's presence, and
-- dispatch.request_events. Nothing is waited for: what somebody holds is being answered.
create or replace function dispatch.note_silence(
    p_request dispatch.requests,
    p_windows integer default 1
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id constant uuid := p_request.preferred_mechanic_id;
    v_windows integer;
begin
    if
        not exists (
            select from dispatch.mechanics as m where m.id = v_mechanic_id and m.is_online
        )
        -- What they left behind is seen late, by their own answer: they are there.
        or auth.uid() = p_request.preferred_user_id
        -- To insert a row is to wait for whoever inserts the same. (So few keys that a sweep of many
        -- does not fill the server's lock table.)
        or not pg_try_advisory_xact_lock(
            1178687058, -1000 - (hashtextextended(v_mechanic_id::text, 0) & 255)::integer
        )
    then
        return;
    end if;
    update dispatch.unanswered
    set windows = windows + p_windows
    where
        mechanic_id = (
            select u.mechanic_id from dispatch.unanswered as u
            where u.mechanic_id = v_mechanic_id
            for update skip locked
        )
    returning windows into v_windows;
    if not found then
        -- Asked first: it is there, and somebody changes it.
        insert into dispatch.unanswered (mechanic_id, windows)
        select v_mechanic_id, p_windows
        where not exists (select from dispatch.unanswered as u where u.mechanic_id = v_mechanic_id)
        on conflict (mechanic_id) do nothing
        returning windows into v_windows;
    end if;
    -- (Not while mechanics are being changed, whose rows must then be left alone.)
    if v_windows >= 2 and coalesce(current_setting('dispatch.leaving', true), '') = '' then
        perform dispatch.set_away(p_request);
    end if;
end;
$$;

comment on function dispatch.note_silence(dispatch.requests, integer) is
'Counts the window of this request, which ended by time (the last of so many), for a mechanic who '
'says to be online. With the second in a row they are away.';
revoke all on function dispatch.note_silence(dispatch.requests, integer)
from public, anon, authenticated, service_role;
