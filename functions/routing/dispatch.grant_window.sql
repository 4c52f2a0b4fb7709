-- Locks the mechanic, so that a suspension or deletion under way is waited for, and a later one sees
-- this request and announces it.
create or replace function dispatch.grant_window(
    p_mechanic_id uuid,
    p_customer_id uuid,
    p_minutes text,
    p_skip_if_offline boolean,
    out reason text,
    out minutes integer
)
returns record
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic record;
begin
    select m.user_id, m.is_approved into v_mechanic
    from dispatch.mechanics as m
    where m.id = p_mechanic_id
    for share;
    if not found then
        reason := 'unknown_mechanic';
    elsif v_mechanic.user_id = p_customer_id then
        reason := 'own_request';
    elsif not v_mechanic.is_approved then
        reason := 'not_approved';
    elsif p_skip_if_offline then
        select case when not dispatch.is_online(m, now()) then 'offline' end into reason
        from dispatch.mechanics as m
        where m.id = p_mechanic_id;
    end if;
    if reason is not null then
        return;
    end if;

    minutes := 10;
    if p_minutes ~ '^([1-9]|[1-5][0-9]|60)$' then
        minutes := p_minutes::integer;
    elsif p_minutes is not null then
        reason := 'invalid_window';
    end if;
end;
$$;

comment on function dispatch.grant_window(uuid, uuid, text, boolean) is
'Whether a booking may wait for this favourite: the minutes (1 to 60; 10 for none and, with the '
'reason invalid_window, for any other text), or no minutes and why not: unknown_mechanic, '
'own_request, not_approved, offline.';
revoke all on function dispatch.grant_window(uuid, uuid, text, boolean)
from public, anon, authenticated, service_role;
