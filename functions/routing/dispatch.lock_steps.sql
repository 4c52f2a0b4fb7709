-- For whoever holds many requests at once, as a sweep does: a suspension or a block holds a
-- mechanic and waits for requests, and in the other order each could wait for the other.
create or replace function dispatch.lock_steps(p_request_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid;
begin
    for v_mechanic_id in
        select s.mechanic_id from dispatch.steps as s
        where s.request_id = p_request_id
        order by s.mechanic_id
    loop
        -- One by one: of a table that is mostly empty a plan knows nothing, and would join all
        -- mechanics.
        perform from dispatch.mechanics as m where m.id = v_mechanic_id for share nowait;
    end loop;
    return true;
exception
    when lock_not_available then return false;
end;
$$;

comment on function dispatch.lock_steps(uuid) is
'Locks the further favourites of a request, as dispatch.take_steps does, but waits for nobody. '
'False: somebody holds one of them.';
revoke all on function dispatch.lock_steps(uuid) from public, anon, authenticated, service_role;
