-- Changes dispatch.unanswered; other requests than this one, through dispatch.requests.
create or replace function dispatch.note_answer(p_mechanic_id uuid, p_request_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_sort = off
as $$
begin
    -- Most left nothing unanswered: one question costs each accept by a favourite half of what the two
    -- statements do. (The second half is what dispatch.announce_ended asks, and why it does nothing.)
    if
        exists (select from dispatch.unanswered as u where u.mechanic_id = p_mechanic_id)
        or (
            select r.id from dispatch.requests as r
            where r.is_pending and r.announced_at is null and r.window_ends_at <= now()
            order by r.window_ends_at
            limit 1
        ) is not null
    then
        perform dispatch.announce_ended(p_mechanic_id, p_request_id);
        -- Of what somebody is just counting it is open whether it came before.
        delete from dispatch.unanswered
        where
            mechanic_id = (
                select u.mechanic_id from dispatch.unanswered as u
                where u.mechanic_id = p_mechanic_id
                for update skip locked
            );
    end if;
end;
$$;

comment on function dispatch.note_answer(uuid, uuid) is
'A mechanic has accepted or declined this request, which was offered to them first: what they left '
'unanswered counts no more.';
revoke all on function dispatch.note_answer(uuid, uuid)
from public, anon, authenticated, service_role;
