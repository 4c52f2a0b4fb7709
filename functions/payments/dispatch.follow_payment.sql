-- Changes dispatch.stripe_events; public.session_requests, when money that was given back is not
-- any more. Stripe sends in no order: of two events of one payment the later made is right,
-- whichever came first; of the same second the refund's failure, so that the owner looks.
create or replace function dispatch.follow_payment(p_event jsonb, p_outcome text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_object constant jsonb := p_event #> '{data,object}';
    v_payment constant text := v_object ->> 'payment_intent';
    v_created constant jsonb := p_event -> 'created';
    v_closed text;
    v_is_taken_back boolean := false;
begin
    case p_outcome
        when 'refunded', 'ignored' then  -- of a part alone
            update dispatch.stripe_events as e
            set outcome = 'refund_failed'
            where
                e.id = p_event ->> 'id'
                and exists (
                    select from dispatch.stripe_events as f
                    where
                        f.outcome = 'refund_failed' and f.subject = v_payment
                        and f.payload -> 'created' >= v_created
                );
        when 'refund_failed' then
            -- What is known is no news, as when somebody notes something on the refund that failed:
            -- what was refunded since holds.
            if
                exists (
                    select from dispatch.stripe_events as e
                    where
                        e.outcome = 'refund_failed' and e.subject = v_payment
                        and e.id <> p_event ->> 'id' and e.type <> 'charge.refunded'
                        and e.payload #> '{data,object,id}' = v_object -> 'id'
                        and e.payload -> 'created' <= v_created
                )
            then
                return 'duplicate';
            end if;
            update dispatch.stripe_events as e
            set outcome = 'refund_failed'
            where
                e.id = any(array(
                    select f.id from dispatch.stripe_events as f
                    where
                        f.outcome in ('refunded', 'ignored') and f.subject = v_payment
                        and coalesce(f.payload -> 'created' <= v_created, true)
                ));
            v_is_taken_back := found;
        when 'disputed' then
            -- Any of its events has the outcome of all. (plpgsql.extra_errors may forbid more rows.)
            select e.outcome into v_closed
            from dispatch.stripe_events as e
            where
                e.outcome in ('dispute_won', 'dispute_lost', 'dispute_lost_in_part')
                and e.subject = v_payment
                and e.payload #> '{data,object,id}' = v_object -> 'id'
            limit 1;
            return coalesce(v_closed, p_outcome);
        else
            -- A bank may take back what it decided.
            select e.outcome into v_closed
            from dispatch.stripe_events as e
            where
                e.outcome in ('dispute_won', 'dispute_lost', 'dispute_lost_in_part')
                and e.subject = v_payment
                and e.payload #> '{data,object,id}' = v_object -> 'id'
                and e.payload -> 'created' > v_created
            order by e.payload -> 'created' desc
            limit 1;
            if found then
                return v_closed;
            end if;
            v_is_taken_back := p_outcome = 'dispute_won' and exists (
                select from dispatch.stripe_events as e
                where e.outcome = 'dispute_lost' and e.subject = v_payment
            );
            update dispatch.stripe_events as e
            set outcome = p_outcome
            where
                e.id = any(array(
                    select f.id from dispatch.stripe_events as f
                    where
                        f.outcome in (
                            'disputed', 'dispute_won', 'dispute_lost', 'dispute_lost_in_part'
                        )
                        and f.outcome <> p_outcome and f.subject = v_payment
                        and f.payload #> '{data,object,id}' = v_object -> 'id'
                ));
    end case;
    -- While it is not booked, a part is not known from the whole (dispatch.process_stripe_event).
    perform dispatch.weigh_disputes(v_payment, p.amount_total, p.currency)
    from (
        select b.amount_total, b.currency from dispatch.payments as b
        where b.payment_intent = v_payment
        union all
        -- Of a request that is gone, as dispatch.scrub_stripe_events has noted it.
        select e.payload #> '{data,object,amount_total}', e.payload #>> '{data,object,currency}'
        from dispatch.stripe_events as e
        where
            e.outcome = 'request_created' and e.subject is not null
            and e.error like 'refund_due:%'
            and (e.payload #>> '{data,object,payment_intent}') = v_payment
    ) as p;
    -- What one way gave back may have been given back by another too.
    if
        v_is_taken_back
        and not exists (
            select from dispatch.stripe_events as e
            where e.outcome in ('refunded', 'dispute_lost') and e.subject = v_payment
        )
    then
        if dispatch.governs_all() then
            update public.session_requests as r
            set metadata = r.metadata - 'refunded_at' || '{"refund_taken_back": true}'
            where (r.metadata ->> 'stripe_payment_intent') = v_payment;
        end if;
        -- Of a payment of nobody's, which was over with its refund, nothing else would tell.
        update dispatch.stripe_events as e
        set
            outcome = 'error',
            processed_at = null,
            error = dispatch.booking_error(
                e.payload #>> '{data,object,metadata,plan_code}', null
            ),
            subject = e.payload #>> '{data,object,id}'
        where
            e.outcome = 'refunded' and e.type like 'checkout.session.%'
            and (e.payload #>> '{data,object,payment_intent}') = v_payment;
    end if;
    return (select e.outcome from dispatch.stripe_events as e where e.id = p_event ->> 'id');
end;
$$;

comment on function dispatch.follow_payment(jsonb, text) is
'For a refund, a refund that failed, a dispute and its end: what this means for the payment''s '
'other events. The ledger has the event, with this outcome. Returns the outcome: another if a '
'later one came before, or if the disputes that were lost are over a part of what was paid.';
revoke all on function dispatch.follow_payment(jsonb, text)
from public, anon, authenticated, service_role;
