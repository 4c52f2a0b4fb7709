create or replace function public.register_device(endpoint text, p256dh text, auth text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.add_device(endpoint, p256dh, auth);
end;
$$;

comment on function public.register_device(text, text, text) is
'Registers a browser''s push subscription for the caller: its endpoint and keys, as '
'PushSubscription.toJSON() has them (base64url). An endpoint is whoever registered it last; a user '
'has ten at most, of which the oldest makes room. Raises PT401 not_signed_in, PT422 '
'invalid_device, PT429 too_many_devices.';
revoke all on function public.register_device(text, text, text)
from public, anon, authenticated, service_role;
grant execute on function public.register_device(text, text, text) to authenticated;
