-- Changes public.mechanics.
create or replace function dispatch.set_mechanic_presence(p_status text)
returns jsonb
language plpgsql
volatile
-- definer: clients have no UPDATE on is_online; only the caller's own row is changed
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid := auth.uid();
    v_online boolean := p_status = 'online';
    v_mechanic record;
begin
    select m.status, m.is_online, m.updated_at into v_mechanic
    from public.mechanics as m
    where m.id = v_mechanic_id;
    -- As dispatch.require_mechanic, which then says why; its price is not paid in every heartbeat.
    if v_mechanic.status is distinct from 'approved' then
        perform dispatch.require_mechanic();
    end if;
    if p_status is null or p_status not in ('online', 'busy', 'away', 'offline') then
        perform dispatch.raise_error('invalid_status');
    end if;
    -- Seen a moment ago with the same status: no row is written. (A marketplace's own table may
    -- have nulls.)
    if
        (
            v_mechanic.is_online = v_online
            and v_mechanic.updated_at > now() - interval '20 seconds'
        ) is not true
    then
        update public.mechanics as m
        set is_online = v_online, updated_at = now()
        where m.id = v_mechanic_id
        returning m.is_online, m.updated_at into v_mechanic.is_online, v_mechanic.updated_at;
    end if;
    return jsonb_build_object(
        'is_online', v_mechanic.is_online, 'last_seen', v_mechanic.updated_at
    );
end;
$$;

comment on function dispatch.set_mechanic_presence(text) is 'Behind public.set_presence.';
revoke all on function dispatch.set_mechanic_presence(text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.set_mechanic_presence(text) to authenticated;
