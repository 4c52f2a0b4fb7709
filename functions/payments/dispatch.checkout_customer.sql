create or replace function dispatch.checkout_customer(p_checkout jsonb)
returns uuid
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        dispatch.to_uuid(p_checkout #>> '{metadata,customer_id}'),
        dispatch.to_uuid(p_checkout ->> 'client_reference_id')
    );
end;
$$;

comment on function dispatch.checkout_customer(jsonb) is
'The customer whom a Checkout Session names, be there such a user or not; null: none.';
revoke all on function dispatch.checkout_customer(jsonb)
from public, anon, authenticated, service_role;
