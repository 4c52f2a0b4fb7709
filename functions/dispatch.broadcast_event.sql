create or replace function dispatch.broadcast_event(
    p_payload jsonb, p_event text, p_topic text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
    perform realtime.send(p_payload, p_event, p_topic, true);
exception
    -- Realtime is a second way of delivery. Whatever ails it (no partition for today, a changed
    -- signature, a missing grant) must not undo the paid request being announced.
    when others then
        raise warning 'broadcast of % to % failed: %', p_event, p_topic, sqlerrm;
end;
$$;

comment on function dispatch.broadcast_event(jsonb, text, text) is
'Sends one private Broadcast by Supabase Realtime; a failure is a warning.';
revoke all on function dispatch.broadcast_event(jsonb, text, text)
from public, anon, authenticated, service_role;
