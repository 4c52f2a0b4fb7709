-- What the books need: ids, amounts, times and states. Named are the fields that stay, so that one
-- which Stripe adds goes.
create or replace function dispatch.scrubbed_event(p_event jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'id', p_event -> 'id',
        'object', p_event -> 'object',
        'type', p_event -> 'type',
        'created', p_event -> 'created',
        'livemode', p_event -> 'livemode',
        'account', p_event -> 'account',
        'data', jsonb_build_object(
            'object', (
                select jsonb_object_agg(f.key, f.value)
                from (
                    -- By these later events are found; where Stripe wrote more of it, by its id.
                    select
                        o.key,
                        case
                            when o.key in ('payment_intent', 'charge', 'customer')
                                then coalesce(o.value -> 'id', o.value)
                            else o.value
                        end as value
                    from jsonb_each(p_event #> '{data,object}') as o
                ) as f
                where
                    jsonb_typeof(f.value) not in ('object', 'array')
                    and (
                        f.key in (
                            'id', 'object', 'created', 'livemode', 'mode', 'status',
                            'payment_status', 'payment_intent', 'charge', 'customer', 'currency',
                            'refunded', 'disputed', 'captured', 'paid'
                        )
                        or f.key like 'amount%'
                    )
            ) || jsonb_build_object(
                -- Another product may put an address there.
                'client_reference_id',
                dispatch.to_uuid(p_event #>> '{data,object,client_reference_id}'),
                'total_details', jsonb_build_object(
                    'amount_discount', p_event #> '{data,object,total_details,amount_discount}',
                    'amount_shipping', p_event #> '{data,object,total_details,amount_shipping}',
                    'amount_tax', p_event #> '{data,object,total_details,amount_tax}'
                ),
                'metadata', jsonb_build_object(
                    'customer_id', dispatch.to_uuid(p_event #>> '{data,object,metadata,customer_id}'),
                    'plan_code', p_event #> '{data,object,metadata,plan_code}'
                )
            )
        )
    ))
$$;

comment on function dispatch.scrubbed_event(jsonb) is
'A Stripe event without what is personal: ids, amounts, times and states are left.';
revoke all on function dispatch.scrubbed_event(jsonb)
from public, anon, authenticated, service_role;
