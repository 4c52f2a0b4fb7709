-- Changes dispatch.unanswered.
create or replace function dispatch.note_answer(p_mechanic_id uuid, p_is_answer boolean)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into dispatch.unanswered as u (mechanic_id, windows, since)
    values (p_mechanic_id, 0, now())
    on conflict (mechanic_id) do update
    set windows = case when p_is_answer then 0 else u.windows end, since = now();
end;
$$;

comment on function dispatch.note_answer(uuid, boolean) is
'A mechanic has accepted or declined in their window (p_is_answer), or come online again: no '
'window that ended until now counts from here on, however late that is seen. An answer also begins '
'the count anew.';
revoke all on function dispatch.note_answer(uuid, boolean)
from public, anon, authenticated, service_role;
