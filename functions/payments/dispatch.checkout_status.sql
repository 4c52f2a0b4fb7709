-- What a page can say while there is no request: of one it reads the request itself.
create or replace function dispatch.checkout_status(p_checkout_session_id text)
returns text
language plpgsql
stable
-- definer: clients cannot read the ledger; the caller hears of a session that names them only
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer_id uuid := dispatch.require_user();
begin
    if
        exists (
            select from dispatch.payments as p
            where
                p.checkout_session_id = p_checkout_session_id
                and p.customer_id = v_customer_id
        )
    then
        return 'booked';
    end if;
    -- Events come in no order: that a payment failed is the last word of it. (The words' order is
    -- that of the alphabet.)
    return (
        select
            case
                -- The marketplace has deleted it since; dispatch.scrub_stripe_events gave it a
                -- subject.
                when e.outcome = 'request_created' then 'removed'
                when e.outcome <> 'ignored' then e.outcome
                -- Of another mode or account than expected: nobody paid, or somebody did.
                when e.payload @> '{"livemode": false}' then 'payment_failed'
                else 'error'
            end
        from dispatch.stripe_events as e
        where
            e.outcome in (
                'error', 'ignored', 'payment_failed', 'request_created', 'waiting_for_payment'
            )
            and e.subject = p_checkout_session_id
            and dispatch.checkout_customer(e.payload #> '{data,object}') = v_customer_id
        order by e.outcome
        limit 1
    );
end;
$$;

comment on function dispatch.checkout_status(text) is 'Behind public.get_checkout_status.';
revoke all on function dispatch.checkout_status(text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.checkout_status(text) to authenticated;
