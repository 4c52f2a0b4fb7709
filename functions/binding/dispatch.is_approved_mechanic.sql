create or replace function dispatch.is_approved_mechanic(p_mechanic_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from dispatch.mechanics as m where m.id = p_mechanic_id and m.is_approved
    );
end;
$$;

comment on function dispatch.is_approved_mechanic(uuid) is
'Whether this mechanic (an id of dispatch.mechanics) may be told of requests.';
revoke all on function dispatch.is_approved_mechanic(uuid)
from public, anon, authenticated, service_role;
