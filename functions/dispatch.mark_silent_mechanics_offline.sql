create or replace function dispatch.mark_silent_mechanics_offline(
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
    v_count integer;
begin
    -- Only tidies the column for those who read the table; dispatch.is_online() never waits for it.
    -- updated_at stays: it is when the mechanic was last seen.
    update public.mechanics as m
    set is_online = false
    where
        m.id in (
            select silent.id from public.mechanics as silent
            where silent.is_online and not dispatch.is_online(silent, p_now)
            for update skip locked
        );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function dispatch.mark_silent_mechanics_offline(timestamptz) is
'Sets is_online to false for mechanics silent for 2 minutes at p_now. Returns how many.';
revoke all on function dispatch.mark_silent_mechanics_offline(timestamptz)
from public, anon, authenticated, service_role;
