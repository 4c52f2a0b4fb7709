-- Changes dispatch.steps.
create or replace function dispatch.remove_steps(p_request_id uuid)
returns uuid[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids uuid[];
begin
    with removed as (
        delete from dispatch.steps as s where s.request_id = p_request_id returning *
    )

    -- Those that dispatch.book_theirs has put there, not of another request of this id.
    select array_agg(r.mechanic_id order by r.turn) filter (where r.window_minutes = 0)
    into v_ids
    from removed as r;
    return v_ids;
end;
$$;

comment on function dispatch.remove_steps(uuid) is
'Removes the favourites who were to be asked later. Returns those to whom no window was given yet, '
'in their order.';
revoke all on function dispatch.remove_steps(uuid)
from public, anon, authenticated, service_role;
