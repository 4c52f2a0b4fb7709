-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.end_lost_windows(
    p_mechanic_id uuid,
    p_besides_id uuid default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What somebody holds is not waited for: they may wait for whoever called this. Whose turn it is
    -- does not wait for it either (dispatch.priority_window), and dispatch.follow_sessions comes by.
    perform dispatch.announce_each(
        array(
            select r.id from dispatch.requests as r
            where
                r.preferred_mechanic_id = p_mechanic_id
                and r.id is distinct from p_besides_id
                -- As text, as in dispatch.unannounced_requests.
                and r.status = 'pending' and r.announced_at is null and r.window_began_at is not null
                and (
                    not dispatch.is_approved_mechanic(r.preferred_mechanic_id)
                    or dispatch.is_blocked(r.preferred_user_id, r.customer_id)
                    or (
                        dispatch.max_open_sessions() is not null
                        and dispatch.is_at_capacity(r.preferred_mechanic_id, r.preferred_user_id)
                    )
                )
            for update skip locked
        ),
        now()
    );
end;
$$;

comment on function dispatch.end_lost_windows(uuid, uuid) is
'Moves on the open windows that this mechanic cannot have any more: not approved, gone, blocked, '
'or at capacity. Of all requests but p_besides_id.';
revoke all on function dispatch.end_lost_windows(uuid, uuid)
from public, anon, authenticated, service_role;
