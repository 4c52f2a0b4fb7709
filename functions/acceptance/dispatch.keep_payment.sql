create or replace function dispatch.keep_payment(p_old jsonb, p_new jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_new jsonb := case jsonb_typeof(p_new) when 'object' then p_new else '{}' end;
begin
    -- What was read before a refund failed does not know of that.
    if p_old ? 'refund_taken_back' and not v_new ? 'refund_taken_back' then
        v_new := v_new - 'refunded_at';
    end if;
    return v_new || (
        select coalesce(jsonb_object_agg(k.key, k.value), '{}')
        from jsonb_each(p_old) as k
        where
            k.key = any(dispatch.payment_keys())
            or (
                k.key = 'refunded_at'
                and exists (
                    select from dispatch.stripe_events as e
                    where
                        e.outcome in ('refunded', 'dispute_lost')
                        and e.subject = p_old ->> 'stripe_payment_intent'
                )
            )
    );
end;
$$;

comment on function dispatch.keep_payment(jsonb, jsonb) is
'A paid request''s new metadata, with what the old says of its payment.';
revoke all on function dispatch.keep_payment(jsonb, jsonb)
from public, anon, authenticated, service_role;
