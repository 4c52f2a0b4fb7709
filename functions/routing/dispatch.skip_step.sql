-- Changes dispatch.steps, dispatch.request_events.
create or replace function dispatch.skip_step(
    p_request dispatch.requests,
    p_turn integer,
    p_mechanic_id uuid,
    p_reason text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from dispatch.steps as s where s.request_id = p_request.id and s.turn = p_turn;
    perform dispatch.log_skipped(
        p_request,
        jsonb_build_array(
            jsonb_build_object('mechanic_id', p_mechanic_id, 'reason', p_reason)
        )
    );
end;
$$;

comment on function dispatch.skip_step(dispatch.requests, integer, uuid, text) is
'Passes over the favourite of this turn, for this reason, and logs it.';
revoke all on function dispatch.skip_step(dispatch.requests, integer, uuid, text)
from public, anon, authenticated, service_role;
