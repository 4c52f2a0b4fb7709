-- Changes public.session_requests, dispatch.request_events; dispatch.windows.
create or replace function dispatch.release_request(p_request_id uuid, p_reason text)
returns jsonb
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
    v_before record;
begin
    perform dispatch.require_mechanic();
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    -- Before, and it is not theirs again since: another's marketplace may hand out what was accepted.
    select x.reason, x.created_at into v_before
    from dispatch.exclusions as x
    where
        x.request_id = p_request_id and x.user_id = auth.uid() and x.event = 'request_released'
        and v_request.mechanic_user_id is distinct from x.user_id
    order by x.created_at desc
    limit 1;
    -- The customer was faster, and said that they did not come.
    if v_before.reason = 'no_show' then
        perform dispatch.raise_error('request_not_pending');
    elsif v_before.reason is null then
        perform dispatch.require_own_request(v_request, 'mechanic');
        if v_request.status <> 'accepted' then
            perform dispatch.raise_error(
                coalesce(dispatch.not_pending(v_request), 'request_not_pending')
            );
        end if;
        perform dispatch.put_back(v_request, 'released', p_reason);
        v_before.created_at := now();
    end if;
    return jsonb_build_object(
        'request_id', p_request_id, 'released_at', v_before.created_at
    );
end;
$$;

comment on function dispatch.release_request(uuid, text) is
'Behind public.release_session_request.';
revoke all on function dispatch.release_request(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.release_request(uuid, text) to authenticated;
