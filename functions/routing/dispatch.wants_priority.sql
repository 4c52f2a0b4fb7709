create or replace function dispatch.wants_priority(
    p_routing_type text,
    p_preferred_mechanic_ids uuid[]
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_routing_type is null or p_routing_type not in ('broadcast', 'priority_broadcast') then
        perform dispatch.raise_error('invalid_routing_type');
    end if;
    if p_routing_type = 'broadcast' or not dispatch.favorites_priority_enabled() then
        return false;
    end if;
    if p_preferred_mechanic_ids is null then
        perform dispatch.raise_error('invalid_routing_type');
    end if;
    if
        (cardinality(p_preferred_mechanic_ids) between 1 and 3) is not true
        or array_ndims(p_preferred_mechanic_ids) <> 1
        or array_lower(p_preferred_mechanic_ids, 1) <> 1
        or (
            select count(distinct i.id) from unnest(p_preferred_mechanic_ids) as i (id)
        ) <> cardinality(p_preferred_mechanic_ids)
    then
        perform dispatch.raise_error('invalid_mechanics');
    end if;
    return true;
end;
$$;

comment on function dispatch.wants_priority(text, uuid[]) is
'Whether a booking asks for priority, with these favourites, and the flag grants it. Raises PT422 '
'invalid_routing_type, invalid_mechanics.';
revoke all on function dispatch.wants_priority(text, uuid[])
from public, anon, authenticated, service_role;
