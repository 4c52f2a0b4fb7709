create or replace function dispatch.is_approved_mechanic(p_mechanic_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from dispatch.mechanics as m
        -- One whose account is gone, though the row stays, cannot be told.
        where m.id = p_mechanic_id and m.is_approved and m.user_id is not null
    );
end;
$$;

comment on function dispatch.is_approved_mechanic(uuid) is
'Whether this mechanic (an id of dispatch.mechanics) may be told of requests.';
revoke all on function dispatch.is_approved_mechanic(uuid)
from public, anon, authenticated, service_role;
