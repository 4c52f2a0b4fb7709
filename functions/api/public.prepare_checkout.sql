create or replace function public.prepare_checkout(
    plan_code text,
    preferred_mechanic_id uuid default null,
    routing_type text default 'broadcast',
    priority_window_minutes integer default null,
    skip_if_offline boolean default false,
    notes text default null
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
        notes
    );
end;
$$;

comment on function public.prepare_checkout(text, uuid, text, integer, boolean, text) is
'{"plan", "metadata", "banner"} for a booking: give metadata to Stripe Checkout as it is. '
'priority_window_minutes: 1 to 60, 10 if left out; notes: what the mechanic is to know, at most '
'500 characters. Raises PT401 not_signed_in, PT422 invalid_plan, invalid_routing_type, '
'invalid_window, invalid_notes.';
revoke all on function public.prepare_checkout(text, uuid, text, integer, boolean, text)
from public, anon, authenticated, service_role;
grant execute on function public.prepare_checkout(text, uuid, text, integer, boolean, text)
to authenticated;
