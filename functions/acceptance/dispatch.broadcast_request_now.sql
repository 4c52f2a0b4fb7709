-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.broadcast_request_now(p_request_id uuid)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_request dispatch.requests;
    v_broadcast public.session_requests;
    v_detail text;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    perform dispatch.require_own_request(v_request, 'customer');
    v_detail := dispatch.not_pending(v_request);
    if v_detail is not null then
        perform dispatch.raise_error(v_detail);
    end if;
    -- Broadcast already (the window ended meanwhile, say): that is what was wanted.
    if v_request.announced_at is null then
        begin
            update dispatch.requests set announced_at = now() where id = p_request_id;
            perform dispatch.ask_deferred();
        exception
            when assert_failure or others then
                perform dispatch.raise_refused(sqlstate, 'request_not_pending');
                raise;
        end;
    end if;
    select * into v_broadcast from public.session_requests as r where r.id = p_request_id;
    return dispatch.shown_request(v_broadcast);
end;
$$;

comment on function dispatch.broadcast_request_now(uuid) is
'Behind public.broadcast_session_request_now.';
revoke all on function dispatch.broadcast_request_now(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.broadcast_request_now(uuid) to authenticated;
