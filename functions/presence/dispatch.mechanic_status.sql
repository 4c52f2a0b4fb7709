create or replace function dispatch.mechanic_status(p_mechanic_id uuid)
returns jsonb
language plpgsql
stable
-- definer: reads the flag; tells no more of a mechanic than an approved one shows anyway
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic dispatch.mechanics;
begin
    perform dispatch.require_user();
    if not dispatch.favorites_priority_enabled() then
        perform dispatch.raise_error('feature_disabled');
    end if;
    select * into v_mechanic from dispatch.mechanics as m
    where
        m.id = p_mechanic_id and m.is_approved and m.user_id is not null
        and not dispatch.is_blocked(auth.uid(), m.user_id);
    return jsonb_build_object(
        'is_online', dispatch.is_online(v_mechanic, now()),
        'last_seen', v_mechanic.last_seen_at
    );
end;
$$;

comment on function dispatch.mechanic_status(uuid) is 'Behind public.get_mechanic_status.';
revoke all on function dispatch.mechanic_status(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.mechanic_status(uuid) to authenticated;
