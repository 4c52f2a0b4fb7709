-- What is paid may be less by a coupon and more by taxes and shipping. So the sum before those is
-- what must be the price, and what is missing from the total must be a discount. All are in the
-- currency's smallest unit, as Stripe has them and as the plan's price was given to it.
create or replace function dispatch.price_difference(p_checkout jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_total constant jsonb := p_checkout -> 'amount_total';
    v_subtotal constant jsonb := p_checkout -> 'amount_subtotal';
    v_discount constant jsonb := p_checkout #> '{total_details,amount_discount}';
    v_undiscounted numeric;
    v_plan dispatch.plans;
begin
    if jsonb_typeof(v_total) is distinct from 'number' then
        return null;  -- not told
    end if;
    select * into v_plan from dispatch.plans as p
    where p.code = p_checkout #>> '{metadata,plan_code}';
    v_undiscounted := v_total::numeric
    + case when jsonb_typeof(v_discount) = 'number' then v_discount::numeric else 0 end;
    if
        lower((p_checkout ->> 'currency') collate "C") <> lower(v_plan.currency collate "C")
        or v_undiscounted < v_plan.price_cents
        or v_plan.price_cents <> (
            case jsonb_typeof(v_subtotal)
                when 'number' then v_subtotal::numeric
                else v_undiscounted
            end
        )
    then
        return format(
            'price_difference: paid %s %s, the plan costs %s %s; refund it or let it be, then set '
            'error = null',
            v_total, left(p_checkout ->> 'currency', 10), v_plan.price_cents, v_plan.currency
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.price_difference(jsonb) is
'How what was paid by a Checkout Session differs from its plan''s price; null: it does not.';
revoke all on function dispatch.price_difference(jsonb)
from public, anon, authenticated, service_role;
