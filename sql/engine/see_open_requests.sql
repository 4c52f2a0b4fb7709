-- On a marketplace of ours an approved mechanic also sees what is open to them now: the engine's
-- one rule (dispatch.refusal), in the table's one policy, so that Realtime and PostgREST go by it.
-- It is gone if a function that it calls was dropped with all that hangs on it.
do $$
begin
    if not exists (
        select from pg_catalog.pg_policy
        where
            polrelid = 'public.session_requests'::regclass
            and polname = 'session_requests_select'
    ) then
        create policy session_requests_select on public.session_requests
        for select to authenticated using (false);
    end if;
end;
$$;
alter policy session_requests_select on public.session_requests using (
    customer_id = (select dispatch.caller_id())
    or mechanic_id = (select dispatch.caller_id())
    or (status = 'pending' and dispatch.may_see_request(session_requests))
);
