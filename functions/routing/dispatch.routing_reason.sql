create or replace function dispatch.routing_reason(p_request_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return substring(
        current_setting('dispatch.routing_reasons', true)
        from p_request_id || '=(unknown_mechanic|not_approved|own_request|offline|invalid_window);'
    );
end;
$$;

comment on function dispatch.routing_reason(uuid) is
'What dispatch.note_routing_reason noted of this request in this transaction; null: nothing.';
revoke all on function dispatch.routing_reason(uuid)
from public, anon, authenticated, service_role;
