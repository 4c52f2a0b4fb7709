-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.announce_ended(
    p_mechanic_id uuid,
    p_besides_id uuid default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set enable_sort = off
as $$
begin
    -- While the sweep runs, nothing is left: to ask costs less than to begin an UPDATE, and reads
    -- none of the requests that this mechanic was asked for before.
    if
        (
            select r.id from dispatch.requests as r
            where r.is_pending and r.announced_at is null and r.window_ends_at <= now()
            -- As dispatch.pending_windows: without an order a plan reads them all.
            order by r.window_ends_at
            limit 1
        ) is null
    then
        return;
    end if;
    perform dispatch.write_turns(array[p_mechanic_id], null, p_besides_id);
    -- What somebody holds is announced by them.
    perform dispatch.announce_each(
        array(
            select r.id from dispatch.requests as r
            where
                r.preferred_mechanic_id = p_mechanic_id
                and r.id is distinct from p_besides_id
                -- As text, as in dispatch.unannounced_requests.
                and r.status = 'pending' and r.announced_at is null
                and r.window_ends_at <= now()
            for update skip locked
        ),
        now()
    );
end;
$$;

comment on function dispatch.announce_ended(uuid, uuid) is
'Before a mechanic answers, or comes online: what the sweep has yet to see of their windows that '
'are over is seen now, so that it is not taken for what came after. Of all requests but '
'p_besides_id.';
revoke all on function dispatch.announce_ended(uuid, uuid)
from public, anon, authenticated, service_role;
