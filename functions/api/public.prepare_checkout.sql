create or replace function public.prepare_checkout(
    plan_code text,
    preferred_mechanic_id uuid default null,
    routing_type text default 'broadcast',
    priority_window_minutes integer default null,
    skip_if_offline boolean default false,
    notes text default null,
    preferred_mechanic_ids uuid[] default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.make_checkout(
        plan_code, preferred_mechanic_id, routing_type, priority_window_minutes, skip_if_offline,
        notes, preferred_mechanic_ids
    );
end;
$$;

comment on function public.prepare_checkout(text, uuid, text, integer, boolean, text, uuid[]) is
'{"plan", "metadata", "banner"} for a booking: give metadata to Stripe Checkout as it is. '
'preferred_mechanic_ids: up to three favourites in the order to ask them, in place of '
'preferred_mechanic_id; priority_window_minutes: of each, 10 if left out, 1 to 60 in all; notes: '
'what the mechanic is to know, at most 500 characters. Raises PT401 not_signed_in, PT422 '
'invalid_plan, invalid_routing_type, invalid_mechanics, invalid_window, invalid_notes.';
revoke all on function public.prepare_checkout(text, uuid, text, integer, boolean, text, uuid[])
from public, anon, authenticated, service_role;
grant execute on function public.prepare_checkout(text, uuid, text, integer, boolean, text, uuid[])
to authenticated;
