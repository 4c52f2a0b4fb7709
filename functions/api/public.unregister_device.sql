create or replace function public.unregister_device(endpoint text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.remove_device(endpoint);
end;
$$;

comment on function public.unregister_device(text) is
'Takes the caller''s device away; one that is not theirs, or not there, is no error. Raises PT401 '
'not_signed_in.';
revoke all on function public.unregister_device(text)
from public, anon, authenticated, service_role;
grant execute on function public.unregister_device(text) to authenticated;
