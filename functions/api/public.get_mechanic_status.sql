create or replace function public.get_mechanic_status(mechanic_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.mechanic_status(mechanic_id);
end;
$$;

comment on function public.get_mechanic_status(uuid) is
'{"is_online", "last_seen"} of an approved mechanic; false and null for any other id. Raises '
'PT401 not_signed_in, PT404 feature_disabled.';
revoke all on function public.get_mechanic_status(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.get_mechanic_status(uuid) to authenticated;
