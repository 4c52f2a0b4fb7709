create or replace function public.list_favorite_mechanics()
returns table (
    mechanic_id uuid, display_name text, is_online boolean, last_seen timestamptz,
    favorited_at timestamptz, is_reachable boolean
)
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select f.mechanic_id, f.display_name, f.is_online, f.last_seen, f.favorited_at, f.is_reachable
    from dispatch.list_favorites() as f;
$$;

comment on function public.list_favorite_mechanics() is
'The caller''s favourite mechanics, those available now first. Raises PT401 not_signed_in.';
revoke all on function public.list_favorite_mechanics()
from public, anon, authenticated, service_role;
grant execute on function public.list_favorite_mechanics() to authenticated;
