-- However many are reserved for others, they are not looked at. (A window whose mechanic is gone
-- was broadcast in the transaction that made it so, by dispatch.release_windows or by the guard.)
create or replace function dispatch.unannounced_requests(p_mechanic_id uuid)
returns table (request_id uuid, window_ends_at timestamptz)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if dispatch.favorites_priority_enabled() then
        return query
        -- Their own windows, by dispatch.priority_window's arithmetic without a call for each.
        select r.id, r.window_ends_at
        from dispatch.requests as r
        where
            r.preferred_mechanic_id = p_mechanic_id
            -- The status as text, so that no index of all that is pending fits: a plan made while
            -- few were would read all of them.
            and r.status = 'pending' and r.announced_at is null
            and r.window_ends_at > now();
    end if;

    return query
    -- Windows that are over, and not yet announced; where another favourite comes next, by the clock.
    select w.request_id, null::timestamptz
    from dispatch.pending_windows(now(), null) as w
    where not exists (select from dispatch.steps as s where s.request_id = w.request_id)
    union all
    select r.id, case when n.ends_at > now() then n.ends_at end
    from dispatch.requests as r
    cross join lateral dispatch.priority_window(r) as n
    where
        r.id = any(array(
            select w.request_id
            from dispatch.pending_windows(
                -- Where there is a limit, one who is at capacity may have lost an open window, too.
                case when dispatch.max_open_sessions() is null then now() else 'infinity' end, null
            ) as w
            where
                w.ends_at > now()
                or exists (select from dispatch.steps as s where s.request_id = w.request_id)
        ))
        and (n.mechanic_id = p_mechanic_id or (n.ends_at > now()) is not true)
    union all
    -- No window at all: written before there were triggers.
    select r.id, null::timestamptz from dispatch.requests as r
    where r.is_pending and r.announced_at is null and r.window_ends_at is null;
end;
$$;

comment on function dispatch.unannounced_requests(uuid) is
'Requests not yet broadcast that are open to this mechanic now, and the end of their own windows.';
revoke all on function dispatch.unannounced_requests(uuid)
from public, anon, authenticated, service_role;
