create or replace function public.list_session_request_mechanics(request_id uuid)
returns table (
    event_id bigint, mechanic_id uuid, starts_at timestamptz, ends_at timestamptz
)
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select m.event_id, m.mechanic_id, m.starts_at, m.ends_at
    from dispatch.list_request_mechanics(request_id) as m;
$$;

comment on function public.list_session_request_mechanics(uuid) is
'Whom the customer''s request was about, in turn: of each transition in its timeline that is about '
'one mechanic, who (null: their account is gone), and from when until when it was theirs alone; '
'then who is still to be asked (event_id null), as it is planned. Raises PT401 not_signed_in, '
'PT403 not_yours, PT404 request_not_found.';
revoke all on function public.list_session_request_mechanics(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.list_session_request_mechanics(uuid) to authenticated;
