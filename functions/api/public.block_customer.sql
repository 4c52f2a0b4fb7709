create or replace function public.block_customer(request_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.set_customer_block(request_id, true);
end;
$$;

comment on function public.block_customer(uuid) is
'The mechanic who accepted this request, and its customer, are not to hear of each other any more, '
'and nobody is told. What is accepted stays. Again: nothing happens. Raises PT401 not_signed_in, '
'PT403 not_a_mechanic, not_yours, PT404 request_not_found.';
revoke all on function public.block_customer(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.block_customer(uuid) to authenticated;
