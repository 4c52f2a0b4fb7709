-- Whatever address is registered, the sender calls it: so only those of push services.
create or replace function dispatch.push_services()
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return '{fcm.googleapis.com,.push.services.mozilla.com,.push.apple.com,.notify.windows.com}'::text[];
end;
$$;

comment on function dispatch.push_services() is
'Whose endpoints are taken for devices: a host; all hosts below one (with a dot before it); or an '
'origin with its scheme and port. dispatch.set_push_services() replaces it.';
revoke all on function dispatch.push_services() from public, anon, authenticated, service_role;
