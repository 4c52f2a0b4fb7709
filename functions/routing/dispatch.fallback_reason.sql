-- The reason is read off the row and the caller, so that a broadcast is explained the same way
-- whichever way it came about, a plain UPDATE included.
create or replace function dispatch.fallback_reason(
    p_old dispatch.requests,
    p_new dispatch.requests
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic record;
begin
    if p_old.window_began_at is null then
        return null;
    elsif not dispatch.favorites_priority_enabled() then
        return 'flag_off';
    end if;
    select m.user_id into v_mechanic
    from dispatch.mechanics as m
    where m.id = p_new.preferred_mechanic_id and m.is_approved;
    return case
        when not found then 'mechanic_gone'
        when p_new.announced_at >= p_old.window_ends_at then 'window_ended'
        when auth.uid() = v_mechanic.user_id then 'declined'
        else 'customer'
    end;
end;
$$;

comment on function dispatch.fallback_reason(dispatch.requests, dispatch.requests) is
'Why a request that had a window is broadcast now; null: it had none.';
revoke all on function dispatch.fallback_reason(dispatch.requests, dispatch.requests)
from public, anon, authenticated, service_role;
