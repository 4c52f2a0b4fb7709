create or replace function dispatch.why_not_asked(
    p_mechanic_id uuid,
    p_user_id uuid,
    p_is_approved boolean,
    p_customer_id uuid
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
-- (Stable all the same: of a size that grows meanwhile the rows are not seen.)
-- @plpgsql_check_options: other_warnings = false
begin
    -- As one who is not approved: nobody is told of a block.
    if pg_relation_size('dispatch.blocks') > 0 then
        if dispatch.is_blocked(p_user_id, p_customer_id) then
            return 'not_approved';
        end if;
    end if;
    return case
        -- One who cannot sign in cannot be told.
        when p_user_id is null then 'unknown_mechanic'
        when p_user_id = p_customer_id then 'own_request'
        when not p_is_approved then 'not_approved'
        when
            dispatch.max_open_sessions() is not null
            and dispatch.is_at_capacity(p_mechanic_id, p_user_id) then 'at_capacity'
    end;
end;
$$;

comment on function dispatch.why_not_asked(uuid, uuid, boolean, uuid) is
'Why no window can be opened for a favourite, who is this user (null: there is no such mechanic) '
'and may be approved, of this customer; null: it can.';
revoke all on function dispatch.why_not_asked(uuid, uuid, boolean, uuid)
from public, anon, authenticated, service_role;
