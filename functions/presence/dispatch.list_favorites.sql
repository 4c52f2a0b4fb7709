create or replace function dispatch.list_favorites()
returns table (
    mechanic_id uuid, display_name text, is_online boolean, last_seen timestamptz,
    favorited_at timestamptz, is_reachable boolean
)
language plpgsql
stable
-- definer: a favourite who is not approved (any more) stays in the list, though RLS hides their
-- row, so that the customer can take them off it; of one whom nobody may book no more is told
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer_id uuid := dispatch.require_user();
begin
    return query
    select
        m.id,
        case when b.is_bookable then left(m.display_name, 200) end,
        b.is_bookable and dispatch.is_online(m, now()),
        case when b.is_bookable then m.last_seen_at end,
        f.favorited_at,
        -- As dispatch.route_request takes it for skip_if_offline. By which of the two is not told.
        b.is_bookable and (
            dispatch.is_online(m, now())
            or exists (select from dispatch.devices as d where d.user_id = m.user_id)
        )
    from dispatch.favorites as f
    inner join dispatch.mechanics as m on m.id = f.mechanic_id
    cross join
        lateral (
            select
                m.is_approved and m.user_id is not null
                -- Of a block nobody is told.
                and not dispatch.is_blocked(v_customer_id, m.user_id) as is_bookable
        ) as b
    where f.customer_id = v_customer_id
    order by 3 desc, f.favorited_at desc, m.id;
end;
$$;

comment on function dispatch.list_favorites() is 'Behind public.list_favorite_mechanics.';
revoke all on function dispatch.list_favorites() from public, anon, authenticated, service_role;
grant execute on function dispatch.list_favorites() to authenticated;
