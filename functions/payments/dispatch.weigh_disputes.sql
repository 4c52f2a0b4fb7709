-- Changes dispatch.stripe_events. Each dispute, and a refund, may be over a part alone: what is
-- left was paid, and is to be worked for or refunded.
create or replace function dispatch.weigh_disputes(
    p_payment_intent text,
    p_amount_total jsonb,
    p_currency text
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- What is not told, or in another currency, counts as all of it.
    v_is_whole boolean := jsonb_typeof(p_amount_total) is distinct from 'number';
begin
    if not v_is_whole then
        select coalesce(sum(g.amount) >= p_amount_total::numeric or bool_or(g.amount is null), false)
        into v_is_whole
        from (
            -- Each dispute once.
            select
                max(
                    case
                        when
                            jsonb_typeof(d.object -> 'amount') = 'number'
                            and d.object ->> 'currency' = p_currency
                            then (d.object -> 'amount')::numeric
                    end
                ) as amount
            from (
                select e.payload #> '{data,object}' as object from dispatch.stripe_events as e
                where
                    e.outcome in ('dispute_lost', 'dispute_lost_in_part')
                    and e.subject = p_payment_intent
            ) as d
            group by d.object -> 'id'
            union all
            -- Of the refunds the sum that Stripe sent last, without those that failed since.
            select greatest(r.amount - coalesce(f.amount, 0), 0)
            from (
                select
                    e.payload -> 'created' as created,
                    case
                        when
                            jsonb_typeof(e.payload #> '{data,object,amount_refunded}') = 'number'
                            and e.payload #>> '{data,object,currency}' = p_currency
                            then (e.payload #> '{data,object,amount_refunded}')::numeric
                        -- A refund says by itself when it is one of all.
                        else 0
                    end as amount
                from dispatch.stripe_events as e
                where
                    e.outcome in ('ignored', 'refunded', 'refund_failed')
                    and e.subject = p_payment_intent and e.type = 'charge.refunded'
                order by 1 desc nulls last, 2 desc
                limit 1
            ) as r
            cross join lateral (
                select sum(o.amount) as amount
                from (
                    select
                        max(
                            case
                                when
                                    jsonb_typeof(e.payload #> '{data,object,amount}') = 'number'
                                    and e.payload #>> '{data,object,currency}' = p_currency
                                    then (e.payload #> '{data,object,amount}')::numeric
                                else p_amount_total::numeric
                            end
                        ) as amount
                    from dispatch.stripe_events as e
                    where
                        e.outcome = 'refund_failed' and e.subject = p_payment_intent
                        and e.type <> 'charge.refunded' and e.payload -> 'created' >= r.created
                    group by e.payload #> '{data,object,id}'
                ) as o
            ) as f
        ) as g;
    end if;
    update dispatch.stripe_events as e
    set outcome = case when v_is_whole then 'dispute_lost' else 'dispute_lost_in_part' end
    where
        e.outcome = case when v_is_whole then 'dispute_lost_in_part' else 'dispute_lost' end
        and e.subject = p_payment_intent;
    return v_is_whole;
end;
$$;

comment on function dispatch.weigh_disputes(text, jsonb, text) is
'Whether the disputes that were lost, and refunds of a part, took back all of a payment of this '
'sum; notes it as the outcome of those disputes: dispute_lost, or dispute_lost_in_part.';
revoke all on function dispatch.weigh_disputes(text, jsonb, text)
from public, anon, authenticated, service_role;
