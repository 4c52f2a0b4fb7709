create or replace function public.unblock_mechanic(mechanic_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.set_mechanic_block(mechanic_id, false);
end;
$$;

comment on function public.unblock_mechanic(uuid) is
'Takes the caller''s own block_mechanic back; a block that is not there is no error. Raises PT401 '
'not_signed_in.';
revoke all on function public.unblock_mechanic(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.unblock_mechanic(uuid) to authenticated;
