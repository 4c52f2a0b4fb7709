create or replace function dispatch.request_of_checkout(p_checkout_session_id text)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select p.request_id from dispatch.payments as p
            where p.checkout_session_id = p_checkout_session_id
        ),
        -- Of a request that is gone since, as dispatch.scrub_stripe_events has noted it.
        (
            select e.request_id from dispatch.stripe_events as e
            where e.outcome = 'request_created' and e.subject = p_checkout_session_id
        )
    );
end;
$$;

comment on function dispatch.request_of_checkout(text) is
'The request that a Stripe Checkout Session paid for, also if it is gone since; null: none yet.';
revoke all on function dispatch.request_of_checkout(text)
from public, anon, authenticated, service_role;
