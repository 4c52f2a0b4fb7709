-- Changes dispatch.devices.
create or replace function dispatch.remove_device(p_endpoint text)
returns void
language plpgsql
volatile
-- definer: clients cannot write dispatch.devices; only the caller's own is taken away
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
begin
    delete from dispatch.devices as d where d.endpoint = p_endpoint and d.user_id = v_user_id;
end;
$$;

comment on function dispatch.remove_device(text) is 'Behind public.unregister_device.';
revoke all on function dispatch.remove_device(text) from public, anon, authenticated, service_role;
grant execute on function dispatch.remove_device(text) to authenticated;
