-- An engine of an earlier version has these with fewer parameters. Two of one name would both be
-- meant by a call that leaves the new ones out.
do $$
declare
    v_found record;
begin
    for v_found in
        select p.oid::regprocedure as signature
        from pg_catalog.pg_proc as p
        inner join (
            values
            ('public', 'prepare_checkout', 7),
            ('public', 'request_free_session', 6),
            ('dispatch', 'make_checkout', 7),
            ('dispatch', 'create_free_request', 6),
            ('dispatch', 'priority_window', 2),
            ('dispatch', 'push_is_over', 4)
        ) as w (namespace, name, arguments)
            on
                p.pronamespace = to_regnamespace(w.namespace)
                and p.proname = w.name and p.pronargs < w.arguments
        where w.namespace = 'dispatch' or p.prosrc ~ '\mdispatch\.'
    loop
        execute pg_catalog.format('drop function %s', v_found.signature);
    end loop;
end;
$$;
drop function if exists dispatch.wants_priority(text, uuid);
drop function if exists dispatch.hear_events(bigint, uuid[], integer);
drop function if exists dispatch.log_broadcast(dispatch.requests, text, timestamptz);
drop function if exists dispatch.claim_to_be(text, text);
drop function if exists dispatch.as_request(public.session_requests);
drop function if exists dispatch.shown_request(public.session_requests);
