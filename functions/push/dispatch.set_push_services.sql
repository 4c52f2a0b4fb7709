create or replace function dispatch.set_push_services(services text[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wrong text := (
        select string_agg(coalesce(s.service, 'null'), ', ')
        from unnest(services) as s (service)
        where
            (
                s.service ~ '^[.]?([a-z0-9-]+[.])+[a-z]+$'
                or s.service ~ '^https?://[a-z0-9.-]+(:[0-9]+)?$'
            ) is not true
    );
begin
    if services is null or v_wrong is not null then
        raise invalid_parameter_value using
            message = format('no hosts of push services: %s', coalesce(v_wrong, 'null')),
            hint = 'Pass hosts (fcm.googleapis.com), all below one (.push.apple.com), or origins '
            '(https://push.example.com:8443).';
    end if;
    perform dispatch.make_setting('dispatch.push_services()', format('%L::text[]', services));
    return services;
end;
$$;

comment on function dispatch.set_push_services(text[]) is
'From now on devices are registered at these push services only. Only the owner may.';
revoke all on function dispatch.set_push_services(text[])
from public, anon, authenticated, service_role;
