create or replace function dispatch.is_online(p_mechanic dispatch.mechanics, p_now timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Silence is offline, whether or not the sweep has marked it yet.
    return coalesce(
        p_mechanic.is_online and p_mechanic.last_seen_at > dispatch.silent_since(p_now), false
    );
end;
$$;

comment on function dispatch.is_online(dispatch.mechanics, timestamptz) is
'Whether a mechanic is available at p_now: said so, and was heard from within 2 minutes.';
revoke all on function dispatch.is_online(dispatch.mechanics, timestamptz)
from public, anon, authenticated, service_role;
