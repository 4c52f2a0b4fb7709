-- Changes public.session_requests, dispatch.request_events; dispatch.windows.
create or replace function dispatch.reopen_request(p_request_id uuid)
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
    v_reopened public.session_requests;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id for update;
    perform dispatch.require_own_request(v_request, 'customer');
    if v_request.status = 'accepted' then
        -- The later of the two: of theirs either may be older than the accept.
        if greatest(v_request.accepted_at, v_request.ended_at) > now() - interval '10 minutes' then
            perform dispatch.raise_error('too_early');
        end if;
        return dispatch.put_back(v_request, 'no_show');
    elsif
        not v_request.is_pending
        -- Out again already: because the customer said so, or the mechanic was faster.
        or not exists (
            select from dispatch.exclusions as x
            where x.request_id = p_request_id and x.reason = 'no_show'
        )
    then
        perform dispatch.raise_error(
            coalesce(dispatch.not_pending(v_request), 'request_not_pending')
        );
    end if;
    select * into v_reopened from public.session_requests as r where r.id = p_request_id;
    return dispatch.shown_request(v_reopened);
end;
$$;

comment on function dispatch.reopen_request(uuid) is 'Behind public.reopen_session_request.';
revoke all on function dispatch.reopen_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.reopen_request(uuid) to authenticated;
