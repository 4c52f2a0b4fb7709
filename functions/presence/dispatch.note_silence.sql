-- Changes dispatch.unanswered; at the second in a row the mechanic's presence, and
-- dispatch.request_events. Each window of a sweep comes here: of whoever does not say that they are
-- online nothing is asked but that. Nothing is waited for: what somebody holds is being answered.
create or replace function dispatch.note_silence(p_request dispatch.requests)
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
        (
            select m.is_online from dispatch.mechanics as m where m.id = v_mechanic_id
        ) is not true
        -- What they leave behind is seen late, by their own answer: they are there.
        or auth.uid() = p_request.preferred_user_id
    then
        return;
    end if;
    update dispatch.unanswered
    set windows = windows + 1
    where
        mechanic_id = (
            select u.mechanic_id from dispatch.unanswered as u
            where u.mechanic_id = v_mechanic_id
            for update skip locked
        )
    returning windows into v_windows;
    if not found then
        insert into dispatch.unanswered (mechanic_id, windows) values (v_mechanic_id, 1)
        on conflict (mechanic_id) do nothing;
    elsif v_windows >= 2 then
        perform dispatch.set_away(p_request);
    end if;
end;
$$;

comment on function dispatch.note_silence(dispatch.requests) is
'Counts a window that ended by time, for its mechanic. With the second in a row they are away.';
revoke all on function dispatch.note_silence(dispatch.requests)
from public, anon, authenticated, service_role;
