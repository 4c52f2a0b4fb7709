create or replace function dispatch.is_push_endpoint(p_endpoint text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Scheme and authority, up to the path. No user name and no port but an origin's own.
    v_origin text := substring(p_endpoint from '^(https?://[^/?#@\\[:space:]]+)/[!-~]+$');
    v_host text := substring(v_origin from '^https://([a-z0-9.-]+)$');
begin
    return length(p_endpoint) <= 2000
    -- No host that a sender's libraries would choke on: each label has 1 to 63 characters, begins and
    -- ends with none that is a hyphen, and is not in Punycode.
    and (v_host ~ '(^|[.])([.-]|..--|[^.]{64})|-[.]') is not true
    and coalesce(
        (
            select
                bool_or(
                    v_origin = s.service or v_host = s.service
                    or (s.service like '.%' and right(v_host, length(s.service)) = s.service)
                )
            from unnest(dispatch.push_services()) as s (service)
        ),
        false
    );
end;
$$;

comment on function dispatch.is_push_endpoint(text) is
'Whether this is the address of a device at one of dispatch.push_services().';
revoke all on function dispatch.is_push_endpoint(text)
from public, anon, authenticated, service_role;
