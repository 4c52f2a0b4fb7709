-- On a marketplace that was there first, whose row has no place for it: a word about a booking,
-- from one who writes it to its triggers, and from the one before the insert to the one after it.
-- Nobody gains by forging it: it skips one's own booking's wish, or says why it was not granted.
create or replace function dispatch.note_routing(p_request_id uuid, p_note text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'dispatch.routing_notes',
        concat(current_setting('dispatch.routing_notes', true), p_request_id, '=', p_note, ';'),
        true
    );
end;
$$;

comment on function dispatch.note_routing(uuid, text) is
'Notes a word about a booking, for the rest of this transaction: skip_if_offline, or why its wish '
'was not granted as asked.';
revoke all on function dispatch.note_routing(uuid, text)
from public, anon, authenticated, service_role;
