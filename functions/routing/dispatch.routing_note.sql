create or replace function dispatch.routing_note(p_request_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The last one.
    return substring(
        current_setting('dispatch.routing_notes', true)
        from '.*' || p_request_id || '=([a-z_]+);'
    );
end;
$$;

comment on function dispatch.routing_note(uuid) is
'What dispatch.note_routing last noted of this request in this transaction; null: nothing.';
revoke all on function dispatch.routing_note(uuid)
from public, anon, authenticated, service_role;
