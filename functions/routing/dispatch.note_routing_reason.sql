-- From the trigger before the insert to the one after it: the marketplace's row has no place for it.
-- A setting that anyone may write decides nothing: it only says why.
create or replace function dispatch.note_routing_reason(p_request_id uuid, p_reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'dispatch.routing_reasons',
        concat(
            current_setting('dispatch.routing_reasons', true),
            p_request_id, '=', p_reason, ';'
        ),
        true
    );
end;
$$;

comment on function dispatch.note_routing_reason(uuid, text) is
'Notes, for the rest of this transaction, why a booking''s wish was not granted as asked.';
revoke all on function dispatch.note_routing_reason(uuid, text)
from public, anon, authenticated, service_role;
