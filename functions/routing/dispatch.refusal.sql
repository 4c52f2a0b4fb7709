-- The one rule of who may see and accept a request; row level security, the list, the accept, the
-- decline and the guard on the table all ask it.
create or replace function dispatch.refusal(
    p_request dispatch.requests,
    p_mechanic_id uuid,
    p_user_id uuid,
    p_now timestamptz default now()
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
-- (Stable all the same: of a size that grows meanwhile the rows are not seen.)
-- @plpgsql_check_options: other_warnings = false
declare
    v_at timestamptz;
    v_window record;
    v_mechanic_id uuid;
    v_ends_at timestamptz;
begin
    if p_request.id is null or p_request.customer_id = p_user_id then
        return 'request_not_found';
    end if;
    -- Whoever is blocked does not hear that there is such a request, nor what became of it.
    if pg_relation_size('dispatch.blocks') > 0 then
        if dispatch.is_blocked(p_user_id, p_request.customer_id) then
            return 'request_not_found';
        end if;
    end if;

    -- Only a request that was not broadcast can have a window. What ended inside its window was
    -- never open to the others, and stays hidden from them.
    if p_request.announced_at is null then
        if p_request.status = 'pending' then
            v_at := p_now;
            v_window := dispatch.priority_window(p_request, p_now);
            v_mechanic_id := v_window.mechanic_id;
            v_ends_at := v_window.ends_at;
        else
            -- Whoever it was for may be gone since.
            v_mechanic_id := p_request.preferred_mechanic_id;
            v_ends_at := p_request.window_ends_at;
            -- A writer may have moved the row's own times since. (The customer's topic is an index's.)
            v_at := least(
                p_request.ended_at,
                (
                    select min(e.created_at) from dispatch.request_events as e
                    where
                        e.topics[1] = 'customer:' || p_request.customer_id
                        and e.request_id = p_request.id
                        and e.event in ('request_accepted', 'request_cancelled')
                )
            );
        end if;
        -- (One who is no mechanic is not whom it was for, though that one is gone.)
        if (v_mechanic_id = p_mechanic_id) is not true and v_ends_at > v_at then
            return 'request_not_found';
        end if;
    end if;
    -- Whoever it is reserved for was chosen by the customer.
    if
        dispatch.open_to() <> 'true'
        and p_request.status = 'pending'
        and (v_mechanic_id = p_mechanic_id and v_ends_at > v_at) is not true
    then
        if not dispatch.is_open_to(p_request.id, p_user_id) then
            return 'request_not_found';
        end if;
    end if;

    return coalesce(
        dispatch.broadcast_refusal(
            p_request.customer_id,
            p_request.status,
            p_request.expires_at,
            p_user_id,
            exists (
                select from dispatch.exclusions as x
                where x.request_id = p_request.id and x.user_id = p_user_id
            ),
            p_now
        ),
        case
            when
                dispatch.max_open_sessions() is not null
                and dispatch.is_at_capacity(p_mechanic_id, p_user_id) then 'at_capacity'
        end
    );
end;
$$;

comment on function dispatch.refusal(dispatch.requests, uuid, uuid, timestamptz) is
'Why an approved mechanic, who is this user, may not accept a request at p_now: the error''s '
'detail; null: may.';
revoke all on function dispatch.refusal(dispatch.requests, uuid, uuid, timestamptz)
from public, anon, authenticated, service_role;
