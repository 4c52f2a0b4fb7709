-- For whoever holds many requests at once, as a sweep does: a suspension or a block holds a
-- mechanic and waits for requests, and in the other order each could wait for the other.
create or replace function dispatch.lock_steps(p_request_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from dispatch.steps as s where s.request_id = p_request_id) then
        begin
            perform from dispatch.mechanics as m
            where
                m.id in (
                    select s.mechanic_id from dispatch.steps as s
                    where s.request_id = p_request_id
                )
            order by m.id
            for share nowait;
        exception
            when lock_not_available then return false;
        end;
    end if;
    return true;
end;
$$;

comment on function dispatch.lock_steps(uuid) is
'Locks the further favourites of a request, as dispatch.take_steps does, but waits for nobody. '
'False: somebody holds one of them.';
revoke all on function dispatch.lock_steps(uuid) from public, anon, authenticated, service_role;
