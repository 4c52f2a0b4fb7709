create or replace function public.get_session_request_timeline(request_id uuid)
returns table (
    event_id bigint, event text, actor text, reason text, created_at timestamptz
)
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select t.event_id, t.event, t.actor, t.reason, t.created_at
    from dispatch.get_request_timeline(request_id) as t;
$$;

comment on function public.get_session_request_timeline(uuid) is
'What happened to the customer''s request, oldest first. actor is customer, mechanic or system. '
'Raises PT401 not_signed_in, PT403 not_yours, PT404 request_not_found.';
revoke all on function public.get_session_request_timeline(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.get_session_request_timeline(uuid) to authenticated;
