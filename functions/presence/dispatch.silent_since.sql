create or replace function dispatch.silent_since(p_now timestamptz)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_now - interval '2 minutes';
end;
$$;

comment on function dispatch.silent_since(timestamptz) is
'A mechanic last heard from at this time, or before, counts as offline at p_now.';
revoke all on function dispatch.silent_since(timestamptz)
from public, anon, authenticated, service_role;
