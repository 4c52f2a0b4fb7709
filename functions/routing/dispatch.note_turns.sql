-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.note_turns()
returns trigger
language plpgsql
volatile
-- definer: whoever may suspend a mechanic need not be allowed to write requests
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What somebody holds is written by them.
    update dispatch.requests
    set announced_at = now()
    where
        id = any(array(
            select r.id from dispatch.requests as r
            where
                r.id = any(array(
                    select s.request_id from dispatch.steps as s where s.mechanic_id = old.id
                ))
                and r.is_pending and r.announced_at is null and r.window_ends_at <= now()
            for update skip locked
        ));
    return case tg_op when 'DELETE' then old else new end;
end;
$$;

comment on function dispatch.note_turns() is
'Trigger: before it changes whether a mechanic can be asked, whose turn came by the clock until '
'now is written, so that it stays what it was.';
revoke all on function dispatch.note_turns() from public, anon, authenticated, service_role;
