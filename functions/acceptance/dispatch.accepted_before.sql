create or replace function dispatch.accepted_before(p_request_id uuid, p_mechanic_id uuid)
returns public.session_requests
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_user_id uuid := auth.uid();
    v_request dispatch.requests;
    v_accepted public.session_requests;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id;
    -- The winner asks again, perhaps because the first answer was lost: same answer.
    if
        v_request.mechanic_user_id is distinct from v_user_id
        or v_request.status not in ('accepted', 'completed')
    then
        perform dispatch.raise_error(
            -- Open to this mechanic, and yet not written: some trigger kept the row as it was.
            coalesce(
                dispatch.refusal(v_request, p_mechanic_id, v_user_id), 'request_not_pending'
            )
        );
    end if;
    select * into v_accepted from public.session_requests as r where r.id = p_request_id;
    return dispatch.shown_request(v_accepted);
end;
$$;

comment on function dispatch.accepted_before(uuid, uuid) is
'The request, if the calling mechanic is the one who took it. Raises why it is not theirs to take.';
revoke all on function dispatch.accepted_before(uuid, uuid)
from public, anon, authenticated, service_role;
