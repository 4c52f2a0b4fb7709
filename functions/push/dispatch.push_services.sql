-- Whatever address is registered, the sender calls it: so only those of push services, until
-- dispatch.set_push_services replaces it, which then stays as it was set; these again if what
-- stands there is no such setting.
do $setting$
begin
    if not exists (
        select from pg_catalog.pg_proc as p
        where
            p.oid = to_regprocedure('dispatch.push_services()')
            and p.prosrc ~ '^\s*begin\s+return ''[{].*[}]''::text\[\];\s+end;\s*$'
    ) then
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
    end if;
    alter function dispatch.push_services()
    immutable called on null input security invoker set search_path = pg_catalog, pg_temp;
end;
$setting$;

comment on function dispatch.push_services() is
'Whose endpoints are taken for devices: a host; all hosts below one (with a dot before it); or an '
'origin with its scheme and port. Set by dispatch.set_push_services(text[]).';
revoke all on function dispatch.push_services() from public, anon, authenticated, service_role;
