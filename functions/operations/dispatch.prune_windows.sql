-- Changes dispatch.steps; dispatch.windows, which has rows on a marketplace that was there first;
-- dispatch.unanswered, in which few mechanics stand at a time.
create or replace function dispatch.prune_windows(
    p_older_than interval,
    p_limit integer default 1000,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_sees_requests constant boolean := dispatch.sees_rows('public.session_requests');
    v_count integer;
begin
    delete from dispatch.windows as w
    where
        w.request_id = any(array(
            select old.request_id from dispatch.windows as old
            where
                old.closed_at < p_now - p_older_than
                -- Gone without a trigger: their table was truncated, say.
                or v_sees_requests and not exists (
                    select from public.session_requests as r where r.id = old.request_id
                )
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    -- Whoever accepts, or ends it otherwise, does not look for them.
    delete from dispatch.steps as s
    where
        s.request_id = any(array(
            select old.request_id from dispatch.steps as old
            where
                v_sees_requests and not exists (
                    select from dispatch.requests as r
                    where
                        r.id = old.request_id and r.is_pending and r.announced_at is null
                )
            limit p_limit
        ));
    delete from dispatch.unanswered as u
    where
        not exists (select from dispatch.mechanics as m where m.id = u.mechanic_id)
        and u.mechanic_id = any(array(
            select gone.mechanic_id from dispatch.unanswered as gone
            for update skip locked
        ));
    return v_count;
end;
$$;

comment on function dispatch.prune_windows(interval, integer, timestamptz) is
'Deletes up to p_limit windows whose request ended longer ago than this at p_now, or is gone, and '
'as many steps that nobody will take any more, and what mechanics who are gone left unanswered. '
'Returns how many windows.';
revoke all on function dispatch.prune_windows(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
