create or replace function dispatch.set_customer_block(p_request_id uuid, p_is_blocked boolean)
returns void
language plpgsql
volatile
-- definer: clients cannot write dispatch.blocks; the caller must have accepted the request
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_user_id uuid;
    v_request dispatch.requests;
begin
    perform dispatch.require_mechanic();
    v_user_id := auth.uid();
    -- Any of theirs, the engine's or not.
    v_request := (
        select dispatch.as_request(r) from public.session_requests as r where r.id = p_request_id
    );
    if
        v_request.mechanic_user_id is distinct from v_user_id
        -- It may be another's by now, or nobody's.
        and not exists (
            select from dispatch.request_events as e
            where
                e.topics[1] = 'customer:' || v_request.customer_id
                and e.request_id = p_request_id and e.event = 'request_accepted'
                and e.topics[2] = 'mechanic:' || v_user_id
        )
    then
        v_request := null;
        select * into v_request from dispatch.requests as r where r.id = p_request_id;
        perform dispatch.require_own_request(v_request, 'mechanic');
    end if;
    perform dispatch.set_block(v_user_id, v_request.customer_id, p_is_blocked);
end;
$$;

comment on function dispatch.set_customer_block(uuid, boolean) is
'Behind public.block_customer and public.unblock_customer.';
revoke all on function dispatch.set_customer_block(uuid, boolean)
from public, anon, authenticated, service_role;
grant execute on function dispatch.set_customer_block(uuid, boolean) to authenticated;
