create or replace function public.block_mechanic(mechanic_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.set_mechanic_block(mechanic_id, true);
end;
$$;

comment on function public.block_mechanic(uuid) is
'The caller and this mechanic are not to hear of each other any more, and nobody is told. What is '
'accepted stays. Again, or an id that is no mechanic''s: nothing happens, and that is no error. '
'Raises PT401 not_signed_in.';
revoke all on function public.block_mechanic(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.block_mechanic(uuid) to authenticated;
