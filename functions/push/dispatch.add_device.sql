-- Changes dispatch.devices.
create or replace function dispatch.add_device(p_endpoint text, p_p256dh text, p_auth text)
returns void
language plpgsql
volatile
-- definer: clients cannot write dispatch.devices; only the caller's own is changed
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
    v_most constant integer := 10;
    v_oldest record;
begin
    if
        (
            dispatch.is_push_endpoint(p_endpoint)
            -- A point of the curve P-256, uncompressed (65 bytes, the first is 4), and 16 bytes, both
            -- in base64url (RFC 8291).
            and p_p256dh ~ '^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]=?$'
            and p_auth ~ '^[A-Za-z0-9_-]{21}[AQgw](==)?$'
        ) is not true
    then
        perform dispatch.raise_error('invalid_device');
    end if;

    -- One registration of a user at a time, so that there are never more.
    perform pg_advisory_xact_lock(hashtextextended(v_user_id::text, 1178687058));
    if not exists (
        select from dispatch.devices as d where d.endpoint = p_endpoint and d.user_id = v_user_id
    ) then
        select d.endpoint, d.registered_at into v_oldest
        from dispatch.devices as d
        where d.user_id = v_user_id
        order by d.registered_at desc, d.endpoint
        offset v_most - 1 limit 1;
        if found then
            -- The oldest makes room; not within the hour, or a loop could fill the table for ever.
            if v_oldest.registered_at > now() - interval '1 hour' then
                perform dispatch.raise_error('too_many_devices');
            end if;
            -- (Another's by now, it is theirs.)
            delete from dispatch.devices as d
            where d.endpoint = v_oldest.endpoint and d.user_id = v_user_id;
        end if;
    end if;
    insert into dispatch.devices (endpoint, user_id, p256dh, auth)
    values (p_endpoint, v_user_id, rtrim(p_p256dh, '='), rtrim(p_auth, '='))
    on conflict (endpoint) do update
    set
        user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth,
        registered_at = excluded.registered_at;
end;
$$;

comment on function dispatch.add_device(text, text, text) is 'Behind public.register_device.';
revoke all on function dispatch.add_device(text, text, text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.add_device(text, text, text) to authenticated;
