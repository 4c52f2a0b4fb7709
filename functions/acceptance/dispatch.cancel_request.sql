-- Changes public.session_requests.
create or replace function dispatch.cancel_request(p_request_id uuid)
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
    v_cancelled public.session_requests;
    v_detail text;
    v_is_stranded boolean;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    perform dispatch.require_own_request(v_request, 'customer');
    v_detail := dispatch.not_pending(v_request);
    -- Accepted by one whose account is gone since: nobody will come.
    v_is_stranded := v_request.status = 'accepted' and not exists (
        select from public.session_requests as r
        inner join dispatch.mechanics as m
            on r.mechanic_id = case when dispatch.assigns_user_id() then m.user_id else m.id end
        where r.id = p_request_id
    );
    if v_detail is not null and not v_is_stranded then
        perform dispatch.raise_error(v_detail);
    end if;
    begin
        update public.session_requests set status = 'cancelled' where id = p_request_id
        returning * into v_cancelled;
        perform dispatch.ask_deferred();
    exception
        when assert_failure or others then
            perform dispatch.raise_refused(sqlstate, 'request_not_pending');
            raise;
    end;
    -- Of theirs the engine's triggers are done with a request that was accepted.
    if v_is_stranded and not dispatch.governs_all() then
        perform dispatch.record_event(
            v_request.id,
            v_request.session_type,
            v_request.plan_code,
            v_request.created_at,
            'request_cancelled',
            array['customer:' || v_request.customer_id::text],
            '{"reason": "cancelled"}'
        );
    end if;
    return dispatch.shown_request(v_cancelled);
end;
$$;

comment on function dispatch.cancel_request(uuid) is
'Behind public.cancel_session_request.';
revoke all on function dispatch.cancel_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.cancel_request(uuid) to authenticated;
