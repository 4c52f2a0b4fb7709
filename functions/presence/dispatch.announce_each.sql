-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.announce_each(
    p_request_ids uuid[],
    p_at timestamptz,
    p_mechanic_ids uuid[] default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid;
begin
    foreach v_id in array p_request_ids loop
        begin
            -- Whoever held it may have moved it on. (The status as text, as in
            -- dispatch.unannounced_requests.)
            update dispatch.requests
            set announced_at = p_at
            where
                id = v_id and status = 'pending' and announced_at is null
                and (p_mechanic_ids is null or preferred_mechanic_id = any(p_mechanic_ids));
            -- Or it would stop whoever called this, at the commit.
            perform dispatch.ask_deferred();
        exception
            -- Some trigger of the marketplace's own: what a mechanic does with other requests, or
            -- is done to them, does not wait for this one.
            when assert_failure or others then
                raise warning 'request % could not be moved on: %', v_id, sqlerrm;
        end;
    end loop;
end;
$$;

comment on function dispatch.announce_each(uuid[], timestamptz, uuid[]) is
'Moves those of these requests on that wait and are for one of these mechanics (null: anybody). '
'From p_at on they are the next favourite''s, or everyone''s (null: as the clock says). One that '
'raises is left to the sweep.';
revoke all on function dispatch.announce_each(uuid[], timestamptz, uuid[])
from public, anon, authenticated, service_role;
