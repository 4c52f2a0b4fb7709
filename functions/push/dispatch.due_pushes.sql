-- Changes nothing, but locks what it returns.
create or replace function dispatch.due_pushes(p_limit integer, p_now timestamptz)
returns setof dispatch.pushes
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while little was queued would sort all of it.
set enable_sort = off
as $$
begin
    return query
    select * from dispatch.pushes as p
    where p.finished_at is null and p.endpoint is not null and p.due_at <= p_now
    order by p.due_at, p.id
    limit p_limit
    for update skip locked;
end;
$$;

comment on function dispatch.due_pushes(integer, timestamptz) is
'Up to p_limit pushes to a device that are due at p_now, the longest due first, for this '
'transaction alone.';
revoke all on function dispatch.due_pushes(integer, timestamptz)
from public, anon, authenticated, service_role;
