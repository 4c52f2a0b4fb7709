create or replace function dispatch.customer_of(p_checkout jsonb)
returns uuid
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
    return coalesce(
        dispatch.to_uuid(p_checkout #>> '{metadata,customer_id}'),
        dispatch.to_uuid(p_checkout ->> 'client_reference_id')
    );
end;
$$;

comment on function dispatch.customer_of(jsonb) is
'The customer of a Checkout Session: metadata.customer_id, else client_reference_id; null: neither '
'is a uuid.';
revoke all on function dispatch.customer_of(jsonb)
from public, anon, authenticated, service_role;
