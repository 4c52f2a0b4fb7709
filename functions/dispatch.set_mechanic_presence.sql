-- Changes public.mechanics.
create or replace function dispatch.set_mechanic_presence(p_status text)
returns jsonb
language plpgsql
volatile
-- definer: clients have no UPDATE on is_online; the caller is checked by require_mechanic
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid := dispatch.require_mechanic();
    v_online boolean := p_status = 'online';
begin
    if p_status is null or p_status not in ('online', 'busy', 'away', 'offline') then
        perform dispatch.raise_error('invalid_status');
    end if;
    -- Seen a moment ago with the same status: no row is written. (A marketplace's own table may
    -- have nulls.)
    update public.mechanics
    set is_online = v_online, updated_at = now()
    where
        id = v_mechanic_id
        and (is_online = v_online and updated_at > now() - interval '20 seconds') is not true;

    return (
        select jsonb_build_object('is_online', m.is_online, 'last_seen', m.updated_at)
        from public.mechanics as m
        where m.id = v_mechanic_id
    );
end;
$$;

comment on function dispatch.set_mechanic_presence(text) is 'Behind public.set_presence.';
revoke all on function dispatch.set_mechanic_presence(text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.set_mechanic_presence(text) to authenticated;
