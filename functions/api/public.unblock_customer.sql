create or replace function public.unblock_customer(request_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.set_customer_block(request_id, false);
end;
$$;

comment on function public.unblock_customer(uuid) is
'Takes the caller''s own block_customer back; a block that is not there is no error. Raises PT401 '
'not_signed_in, PT403 not_a_mechanic, not_yours, PT404 request_not_found.';
revoke all on function public.unblock_customer(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.unblock_customer(uuid) to authenticated;
