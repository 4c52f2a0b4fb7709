create or replace function public.acknowledge_notice(event_id bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.acknowledge_event(event_id);
end;
$$;

comment on function public.acknowledge_notice(bigint) is
'Says that the caller has seen a notice: no reminder, and no second try to push it. An id that is '
'unknown is no error. Raises PT401 not_signed_in.';
revoke all on function public.acknowledge_notice(bigint)
from public, anon, authenticated, service_role;
grant execute on function public.acknowledge_notice(bigint) to authenticated;
