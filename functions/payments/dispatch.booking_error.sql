create or replace function dispatch.booking_error(p_plan_code text, p_customer_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from dispatch.plans as p where p.code = p_plan_code) then
        return 'unknown_plan: metadata.plan_code '
            || coalesce(quote_literal(left(p_plan_code, 100)), 'is missing')
            || '; add the plan, then dispatch.replay_stripe_event(id)';
    elsif not exists (select from auth.users as u where u.id = p_customer_id) then
        return 'missing_customer: metadata.customer_id (client_reference_id, if that is no id) is not '
            'a user''s; put one there or refund, then dispatch.replay_stripe_event(id)';
    end if;
    return null;
end;
$$;

comment on function dispatch.booking_error(text, uuid) is
'Why a paid Checkout Session cannot be booked, and what to do; null: it can.';
revoke all on function dispatch.booking_error(text, uuid)
from public, anon, authenticated, service_role;
