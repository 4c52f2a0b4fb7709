create or replace function dispatch.without_routing(p_metadata jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
    return case jsonb_typeof(p_metadata)
        when 'object' then p_metadata - array[
            'routing_type', 'preferred_mechanic_id', 'priority_window_minutes',
            'skip_if_offline', 'routing_reason'
        ]
        else '{}'::jsonb
    end;
end;
$$;

comment on function dispatch.without_routing(jsonb) is
'Metadata less the wish for a favourite: once routed, the columns say what was decided.';
revoke all on function dispatch.without_routing(jsonb)
from public, anon, authenticated, service_role;
