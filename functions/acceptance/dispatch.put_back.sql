-- Changes dispatch.request_events, public.session_requests; dispatch.windows.
create or replace function dispatch.put_back(
    p_request dispatch.requests,
    p_reason text,
    p_in_their_words text default null
)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
#variable_conflict use_variable
declare
    v_customer constant text := 'customer:' || p_request.customer_id::text;
    v_mechanic constant text := 'mechanic:' || p_request.mechanic_user_id::text;
    v_is_refunded constant boolean := exists (
        select from dispatch.payments as p
        where p.request_id = p_request.id and p.is_refunded
    );
    -- Once it goes out again; a second time nobody is asked any more. Nor is anybody to work for
    -- what was paid back.
    v_is_over constant boolean := v_is_refunded or exists (
        select from dispatch.exclusions as x
        where x.request_id = p_request.id and x.event = 'request_released'
    );
    v_request public.session_requests;
begin
    -- With the flag off, theirs are not the engine's.
    if not dispatch.governs_all() and not dispatch.favorites_priority_enabled() then
        perform dispatch.raise_error('request_not_found');
    end if;
    -- First, as the guard on the table asks the log.
    perform dispatch.record_event(
        p_request.id,
        p_request.session_type,
        p_request.plan_code,
        p_request.created_at,
        'request_released',
        array[v_customer, v_mechanic],
        jsonb_strip_nulls(
            pg_catalog.jsonb_build_object(
                'reason', p_reason, 'decline_reason', left(p_in_their_words, 100)
            )
        )
    );
    begin
        if v_is_over then
            update public.session_requests
            set status = 'cancelled', mechanic_id = null
            where id = p_request.id
            returning * into v_request;
        else
            v_request := dispatch.unassign_request(p_request.id);
        end if;
        -- By a trigger of the marketplace's own.
        if v_request.id is null or v_request.status = 'accepted' then
            perform dispatch.raise_error('request_not_pending');
        end if;
        perform dispatch.ask_deferred();
    exception
        when assert_failure or others then
            perform dispatch.raise_refused(sqlstate, 'request_not_pending');
            raise;
    end;

    -- Of theirs the engine's triggers are done with a request that was accepted.
    if not dispatch.governs_all() then
        if v_is_over then
            perform dispatch.record_event(
                p_request.id,
                p_request.session_type,
                p_request.plan_code,
                p_request.created_at,
                'request_cancelled',
                array[v_customer, v_mechanic],
                pg_catalog.jsonb_build_object(
                    'reason', case when v_is_refunded then 'refunded' else 'cancelled' end
                )
            );
        else
            update dispatch.windows set announced_at = now() where request_id = p_request.id;
        end if;
    end if;
    return dispatch.shown_request(v_request);
end;
$$;

comment on function dispatch.put_back(dispatch.requests, text, text) is
'Takes an accepted request from its mechanic, who does not get it again: released or no_show. It '
'is broadcast at once; cancelled, if that was so once before or it was paid back meanwhile.';
revoke all on function dispatch.put_back(dispatch.requests, text, text)
from public, anon, authenticated, service_role;
