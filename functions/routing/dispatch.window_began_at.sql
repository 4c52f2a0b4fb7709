create or replace function dispatch.window_began_at(
    p_given timestamptz,
    p_minutes integer,
    p_now timestamptz default now()
)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A backend may say that it told the mechanic earlier, never that it will; one that was over
    -- before the booking is over with it.
    return case
        when p_given is null then p_now
        else least(greatest(p_given, p_now - make_interval(mins => p_minutes)), p_now)
    end;
end;
$$;

comment on function dispatch.window_began_at(timestamptz, integer, timestamptz) is
'When the window of a booking begins that gave this time; null, and any time to come, is p_now.';
revoke all on function dispatch.window_began_at(timestamptz, integer, timestamptz)
from public, anon, authenticated, service_role;
