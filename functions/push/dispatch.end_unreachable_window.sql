-- Changes the request, through dispatch.requests.
create or replace function dispatch.end_unreachable_window(
    p_request_id uuid,
    p_user_id uuid,
    p_now timestamptz
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
    v_window record;
begin
    -- What somebody holds is being answered, or ended; who holds another may wait for this one.
    select * into v_request from dispatch.requests as r
    where r.id = p_request_id
    for update skip locked;
    v_window := dispatch.priority_window(v_request, p_now);
    if
        v_window.user_id = p_user_id
        and v_window.ends_at > p_now
        and not exists (select from dispatch.devices as d where d.user_id = p_user_id)
        and not exists (
            select from dispatch.mechanics as m
            where m.id = v_window.mechanic_id and dispatch.is_online(m, p_now)
        )
    then
        -- For dispatch.fallback_reason.
        perform dispatch.note_routing(p_request_id, 'unreachable');
        -- One that the marketplace does not let move on would keep every other answer out.
        perform dispatch.announce_each(array[p_request_id], p_now);
    end if;
end;
$$;

comment on function dispatch.end_unreachable_window(uuid, uuid, timestamptz) is
'Broadcasts a request whose favourite, this user, has no device left and is not online.';
revoke all on function dispatch.end_unreachable_window(uuid, uuid, timestamptz)
from public, anon, authenticated, service_role;
