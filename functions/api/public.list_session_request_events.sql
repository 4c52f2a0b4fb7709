create or replace function public.list_session_request_events(
    after bigint default 0,
    max_rows integer default 100
)
returns table (
    event_id bigint, event text, request_id uuid, payload jsonb, created_at timestamptz
)
language sql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select e.event_id, e.event, e.request_id, e.payload, e.created_at
    from dispatch.list_request_events(after, max_rows) as e;
$$;

comment on function public.list_session_request_events(bigint, integer) is
'The events on the caller''s topics after a cursor (the last event_id seen; 0: from the start), '
'in order, at most max_rows (up to 1000). No event below a listed one appears later. With after '
'null: the last one alone, where a device begins that has no cursor, or one that lies above the '
'log since a backup was put back. Raises PT401 not_signed_in.';
revoke all on function public.list_session_request_events(bigint, integer)
from public, anon, authenticated, service_role;
grant execute on function public.list_session_request_events(bigint, integer) to authenticated;
