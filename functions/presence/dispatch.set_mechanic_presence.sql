-- Changes public.mechanics, or dispatch.presence, through dispatch.mechanics.
create or replace function dispatch.set_mechanic_presence(p_status text)
returns jsonb
language plpgsql
volatile
-- definer: clients have no UPDATE on is_online; only the caller's own row is changed
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := auth.uid();
    v_online boolean := p_status = 'online';
    v_mechanic record;
    v_is_back boolean;
begin
    select m.id, m.is_approved, m.is_online, m.last_seen_at into v_mechanic
    from dispatch.mechanics as m
    where m.user_id = v_user_id
    order by m.is_approved desc
    limit 1;
    -- As dispatch.require_mechanic, which then says why; its price is not paid in every heartbeat.
    if v_mechanic.is_approved is not true then
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
            and v_mechanic.last_seen_at > now() - interval '20 seconds'
        ) is not true
    then
        v_is_back := v_online and v_mechanic.is_online is not true;
        begin
            update dispatch.mechanics as m
            set is_online = v_online, last_seen_at = now()
            where m.id = v_mechanic.id
            returning m.is_online, m.last_seen_at
            into v_mechanic.is_online, v_mechanic.last_seen_at;
            perform dispatch.ask_deferred();
        exception
            when assert_failure or others then
                perform dispatch.raise_refused(sqlstate, 'presence_refused');
                raise;
        end;
        -- What they left unanswered before, seen late, does not undo that they are back. After their
        -- row, as whoever suspends, blocks or deletes them locks that first, and then their requests.
        if v_is_back then
            perform dispatch.announce_ended(v_mechanic.id);
        end if;
    end if;
    return jsonb_build_object(
        'is_online', v_mechanic.is_online, 'last_seen', v_mechanic.last_seen_at
    );
end;
$$;

comment on function dispatch.set_mechanic_presence(text) is 'Behind public.set_presence.';
revoke all on function dispatch.set_mechanic_presence(text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.set_mechanic_presence(text) to authenticated;
