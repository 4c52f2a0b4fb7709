create or replace function dispatch.list_favorites()
returns table (
    mechanic_id uuid, display_name text, is_online boolean, last_seen timestamptz,
    favorited_at timestamptz
)
language plpgsql
stable
-- definer: a favourite who is suspended stays in the list, though RLS hides their row
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer_id uuid := dispatch.require_user();
begin
    return query
    select
        m.id,
        m.display_name,
        dispatch.is_online(m, now()) and m.is_approved,
        m.last_seen_at,
        f.favorited_at
    from dispatch.favorites as f
    inner join dispatch.mechanics as m on m.id = f.mechanic_id
    where f.customer_id = v_customer_id
    order by 3 desc, f.favorited_at desc, m.id;
end;
$$;

comment on function dispatch.list_favorites() is 'Behind public.list_favorite_mechanics.';
revoke all on function dispatch.list_favorites() from public, anon, authenticated, service_role;
grant execute on function dispatch.list_favorites() to authenticated;
