-- On a marketplace that was there first, whose row has no place for it: a word about a booking,
-- from one who writes it to its triggers, and from the one before the insert to the one after it.
-- Whoever runs SQL can write it too, and gains nothing: dispatch.route_request has the last word,
-- and takes from others only that one's own booking is to skip a favourite who is offline.
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
'Notes a word about a booking, for the rest of this transaction: skip_if_offline, or whether '
'its wish was granted as asked.';
revoke all on function dispatch.note_routing(uuid, text)
from public, anon, authenticated, service_role;
