-- For a sweep: of many windows in few statements, as most are of mechanics who do not say that they
-- are online, or of the same ones.
create or replace function dispatch.note_silences(p_request_ids uuid[], p_mechanic_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_silent record;
begin
    for v_silent in
        select
            count(*)::integer as windows,
            (array_agg(e.request_id order by e.number desc))[1] as last_id
        from unnest(p_request_ids, p_mechanic_ids) with ordinality
            as e (request_id, mechanic_id, number)
        -- Each by its id (offset 0), not all that there are.
        cross join
            lateral (
                select n.id, n.is_online, n.is_approved from dispatch.mechanics as n
                where n.id = e.mechanic_id
                offset 0
            ) as m
        where m.is_online and m.is_approved
        group by m.id
        -- In one order, so that two of these do not wait for each other.
        order by m.id
    loop
        perform dispatch.note_silence(r, v_silent.windows)
        from dispatch.requests as r
        where r.id = v_silent.last_id;
    end loop;
end;
$$;

comment on function dispatch.note_silences(uuid[], uuid[]) is
'Counts the windows of these requests, which ended by time, for these mechanics, one element each.';
revoke all on function dispatch.note_silences(uuid[], uuid[])
from public, anon, authenticated, service_role;
