create or replace function dispatch.replay_stripe_event(p_id text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload jsonb;
begin
    select e.payload into v_payload from dispatch.stripe_events as e where e.id = p_id;
    if v_payload is null then
        raise no_data_found using
            message = format('no Stripe event %L in the ledger', p_id),
            hint = 'select id, type, error from dispatch.stripe_events where processed_at is null';
    end if;
    return dispatch.process_stripe_event(v_payload);
end;
$$;

comment on function dispatch.replay_stripe_event(text) is
'Processes an event of the ledger again, once what its error names is mended. Returns what '
'process_stripe_event returns; one that was processed is a duplicate.';
revoke all on function dispatch.replay_stripe_event(text)
from public, anon, authenticated, service_role;
