create or replace function dispatch.log_skipped(p_request dispatch.requests, p_skipped jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_skipped jsonb;
begin
    for v_skipped in select * from jsonb_array_elements(p_skipped) loop
        perform dispatch.record_event(
            p_request.id,
            p_request.session_type,
            p_request.plan_code,
            p_request.created_at,
            'priority_skipped',
            array['customer:' || p_request.customer_id],
            jsonb_strip_nulls(v_skipped)
        );
    end loop;
end;
$$;

comment on function dispatch.log_skipped(dispatch.requests, jsonb) is
'Logs each favourite that a booking asked for and passed over: [{"mechanic_id", "reason"}].';
revoke all on function dispatch.log_skipped(dispatch.requests, jsonb)
from public, anon, authenticated, service_role;
