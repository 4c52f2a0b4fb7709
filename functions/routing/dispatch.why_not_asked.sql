create or replace function dispatch.why_not_asked(
    p_mechanic dispatch.mechanics,
    p_customer_id uuid
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        -- One who cannot sign in cannot be told.
        when p_mechanic.user_id is null then 'unknown_mechanic'
        when p_mechanic.user_id = p_customer_id then 'own_request'
        when not p_mechanic.is_approved then 'not_approved'
        when
            dispatch.max_open_sessions() is not null
            and dispatch.is_at_capacity(p_mechanic.id, p_mechanic.user_id) then 'at_capacity'
    end;
end;
$$;

comment on function dispatch.why_not_asked(dispatch.mechanics, uuid) is
'Why no window can be opened for this favourite (nulls: there is no such mechanic) of this '
'customer; null: it can.';
revoke all on function dispatch.why_not_asked(dispatch.mechanics, uuid)
from public, anon, authenticated, service_role;
