create or replace function dispatch.require_own_request(p_request dispatch.requests, p_role text)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
begin
    if
        v_user_id = (
            case p_role
                when 'customer' then p_request.customer_id
                else p_request.mechanic_user_id
            end
        )
    then
        return;
    end if;
    -- What is or was reserved, and never open to this caller, is not revealed.
    perform dispatch.raise_error(
        case
            when v_user_id in (p_request.customer_id, p_request.mechanic_user_id) then 'not_yours'
            -- It was, until they gave it back or did not come.
            when
                exists (
                    select from dispatch.exclusions as x
                    where
                        x.request_id = p_request.id and x.user_id = v_user_id
                        and x.event = 'request_released'
                ) then 'not_yours'
            when
                dispatch.refusal(p_request, dispatch.approved_mechanic_of(v_user_id), v_user_id)
                = 'request_not_found' then 'request_not_found'
            else 'not_yours'
        end
    );
end;
$$;

comment on function dispatch.require_own_request(dispatch.requests, text) is
'Passes when the caller is the request''s p_role, customer or mechanic. Raises PT401 '
'not_signed_in, PT403 not_yours, PT404 request_not_found.';
revoke all on function dispatch.require_own_request(dispatch.requests, text)
from public, anon, authenticated, service_role;
