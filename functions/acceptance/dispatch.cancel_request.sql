-- Changes public.session_requests.
create or replace function dispatch.cancel_request(p_request_id uuid)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
    v_cancelled public.session_requests;
    v_detail text;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    perform dispatch.require_own_request(v_request, 'customer');
    v_detail := dispatch.not_pending(v_request);
    if v_detail is not null then
        perform dispatch.raise_error(v_detail);
    end if;
    update public.session_requests set status = 'cancelled' where id = p_request_id
    returning * into v_cancelled;
    return dispatch.shown_request(v_cancelled);
end;
$$;

comment on function dispatch.cancel_request(uuid) is
'Behind public.cancel_session_request.';
revoke all on function dispatch.cancel_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.cancel_request(uuid) to authenticated;
