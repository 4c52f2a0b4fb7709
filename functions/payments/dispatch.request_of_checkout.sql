create or replace function dispatch.request_of_checkout(p_checkout_session_id text)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select p.request_id from dispatch.payments as p
        where p.checkout_session_id = p_checkout_session_id
    );
end;
$$;

comment on function dispatch.request_of_checkout(text) is
'The request that a Stripe Checkout Session paid for; null: none yet.';
revoke all on function dispatch.request_of_checkout(text)
from public, anon, authenticated, service_role;
