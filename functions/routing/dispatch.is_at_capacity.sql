-- Of all their sessions, not of those alone that the engine governs: any job keeps hands full. The
-- status as text, so that no index of all that is accepted fits: a plan made while little was would
-- read all of it. Callers ask dispatch.max_open_sessions() before, which costs them nothing.
create or replace function dispatch.is_at_capacity(
    p_mechanic_id uuid,
    p_user_id uuid,
    p_besides_id uuid default null
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return dispatch.max_open_sessions() is not null
    -- On a marketplace that was there first there is no rule of ours while the flag is off.
    and (dispatch.governs_all() or dispatch.favorites_priority_enabled())
    and dispatch.max_open_sessions() <= (
        select count(*) from public.session_requests as r
        where
            r.mechanic_id
            = case when dispatch.assigns_user_id() then p_user_id else p_mechanic_id end
            and r.status::text = 'accepted' and r.id is distinct from p_besides_id
            -- What was taken off keeps its word.
            and (dispatch.as_request(r)).status = 'accepted'
    );
end;
$$;

comment on function dispatch.is_at_capacity(uuid, uuid, uuid) is
'Whether a mechanic, who is this user, has as many accepted and not completed requests as '
'dispatch.max_open_sessions() allows, not counting p_besides_id.';
revoke all on function dispatch.is_at_capacity(uuid, uuid, uuid)
from public, anon, authenticated, service_role;
