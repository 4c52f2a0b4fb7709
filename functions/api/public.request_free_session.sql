create or replace function public.request_free_session(
    plan_code text,
    preferred_mechanic_id uuid default null,
    routing_type text default 'broadcast',
    notes text default null,
    attempt uuid default null,
    preferred_mechanic_ids uuid[] default null
)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.create_free_request(
        plan_code, preferred_mechanic_id, routing_type, notes, attempt, preferred_mechanic_ids
    );
end;
$$;

comment on function public.request_free_session(text, uuid, text, text, uuid, uuid[]) is
'Books a plan that costs 0 for the caller. Returns the request. notes: what the mechanic is to '
'know, at most 500 characters. attempt: asked again with the same one (and the same plan and '
'favourites), it returns the request that is there. preferred_mechanic_ids: up to three favourites '
'in the order to ask them, in place of preferred_mechanic_id. Raises PT401 not_signed_in, PT409 '
'booking_refused, PT422 invalid_plan, invalid_routing_type, invalid_mechanics, invalid_notes.';
revoke all on function public.request_free_session(text, uuid, text, text, uuid, uuid[])
from public, anon, authenticated, service_role;
grant execute on function public.request_free_session(text, uuid, text, text, uuid, uuid[])
to authenticated;
