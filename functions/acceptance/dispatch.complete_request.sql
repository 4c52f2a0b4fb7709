-- Changes public.session_requests.
create or replace function dispatch.complete_request(p_request_id uuid)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, public, extensions, pg_temp
as $$
#variable_conflict use_variable
declare
    v_request dispatch.requests;
    v_completed public.session_requests;
begin
    perform dispatch.require_mechanic();
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    perform dispatch.require_own_request(v_request, 'mechanic');
    if v_request.status = 'accepted' then
        begin
            update public.session_requests set status = 'completed' where id = p_request_id;
            perform dispatch.ask_deferred();
        exception
            when assert_failure or others then
                perform dispatch.raise_refused(sqlstate, 'request_not_pending');
                raise;
        end;
        -- Of theirs the engine's triggers are done with a request that was accepted.
        if not dispatch.governs_all() then
            perform dispatch.record_event(
                v_request.id,
                v_request.session_type,
                v_request.plan_code,
                v_request.created_at,
                'request_completed',
                array[
                    'customer:' || v_request.customer_id::text,
                    'mechanic:' || v_request.mechanic_user_id::text
                ]
            );
        end if;
    elsif v_request.status <> 'completed' then
        perform dispatch.raise_error(
            coalesce(dispatch.not_pending(v_request), 'request_not_pending')
        );
    end if;
    select * into v_completed from public.session_requests as r where r.id = p_request_id;
    return dispatch.shown_request(v_completed);
end;
$$;

comment on function dispatch.complete_request(uuid) is
'Behind public.complete_session_request.';
revoke all on function dispatch.complete_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.complete_request(uuid) to authenticated;
