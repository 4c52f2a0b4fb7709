-- By the index on the window's end (the feature's on a marketplace of ours, that of
-- dispatch.windows on another's), so that the first rows are found in a few pages however many
-- requests there are.
create or replace function dispatch.pending_windows(p_before timestamptz, p_limit integer)
returns table (request_id uuid, ends_at timestamptz)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while the table was small would sort all windows.
set enable_sort = off
as $$
declare
    -- With the flag off every window is over.
    v_before timestamptz := case
        when dispatch.favorites_priority_enabled() then p_before
        else 'infinity'::timestamptz
    end;
begin
    return query
    select r.id, r.window_ends_at
    from dispatch.requests as r
    where r.is_pending and r.announced_at is null and r.window_ends_at <= v_before
    order by r.window_ends_at
    limit p_limit;
end;
$$;

comment on function dispatch.pending_windows(timestamptz, integer) is
'Requests not yet broadcast whose window ends by p_before, earliest first.';
revoke all on function dispatch.pending_windows(timestamptz, integer)
from public, anon, authenticated, service_role;
