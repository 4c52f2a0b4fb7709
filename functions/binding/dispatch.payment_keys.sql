create or replace function dispatch.payment_keys()
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return array[
        'stripe_checkout_session_id', 'stripe_payment_intent', 'amount_total', 'currency',
        'price_cents', 'refund_taken_back'
    ];
end;
$$;

comment on function dispatch.payment_keys() is
'The keys of session_requests.metadata, of ours, that say how a request was paid.';
revoke all on function dispatch.payment_keys() from public, anon, authenticated, service_role;
