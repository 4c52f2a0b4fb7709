-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.announce_each(p_request_ids uuid[], p_at timestamptz)
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
            update dispatch.requests set announced_at = p_at where id = v_id;
        exception
            -- Some trigger of the marketplace's own: what a mechanic does with other requests, or is
            -- done to them, does not wait for this one.
            when others then
                raise warning 'request % could not be moved on: %', v_id, sqlerrm;
        end;
    end loop;
end;
$$;

comment on function dispatch.announce_each(uuid[], timestamptz) is
'Moves these requests on, which the caller of this has locked: from p_at on they are the next '
'favourite''s, or everyone''s (null: as the clock says). One that raises is left to the sweep.';
revoke all on function dispatch.announce_each(uuid[], timestamptz)
from public, anon, authenticated, service_role;
