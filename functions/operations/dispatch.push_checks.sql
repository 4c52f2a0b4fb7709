-- Part of dispatch.health().
create or replace function dispatch.push_checks(p_now timestamptz, p_enough integer)
returns table (check_name text, ok boolean, detail text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        c.name,
        c.found = 0,
        case when c.found >= p_enough then 'at least ' else '' end || c.found || ' ' || c.what
        || case when c.found > 0 then c.since else '' end
    from (
        select
            'pushes_on_time',
            'pushes not taken by a sender a minute after they were due',
            count(*),
            ', the oldest of ' || min(u.due_at)
        from (
            select p.due_at from dispatch.pushes as p
            where
                p.finished_at is null and p.due_at < p_now - interval '1 minute'
                and p.expires_at > p_now
            order by p.due_at, p.id
            limit p_enough
        ) as u
        union all
        select
            'pushes_accepted',
            'pushes refused by the push service, or given up, in the last 15 minutes',
            count(*),
            ', the last status ' || coalesce(max(f.status)::text, 'none')
        from (
            select p.status from dispatch.pushes as p
            where
                p.finished_at > p_now - interval '15 minutes'
                and p.outcome in ('refused', 'given_up')
            limit p_enough
        ) as f
    ) as c (name, what, found, since);

    check_name := 'devices';
    ok := true;
    detail := (
        select count(*) || ' registered, of ' || count(distinct d.user_id) || ' people'
        from dispatch.devices as d
    );
    return next;
end;
$$;

comment on function dispatch.push_checks(timestamptz, integer) is
'The rows of dispatch.health() that are about Web Push; counts stop at p_enough.';
revoke all on function dispatch.push_checks(timestamptz, integer)
from public, anon, authenticated, service_role;
