-- Changes public.session_requests. Who may accept is decided by dispatch.guard_request, which sees
-- the row as locked: of many at once one wins, and the others then find it taken.
create or replace function dispatch.accept_request(p_request_id uuid)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by the guard
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid := auth.uid();
    v_request public.session_requests;
begin
    -- As dispatch.require_user, without the price of a call in every accept.
    if v_mechanic_id is null then
        perform dispatch.raise_error('not_signed_in');
    end if;
    -- Whoever waited for the winner and lost holds a lock on the row, for which the next one waits:
    -- going back gives it up at once, and each finds its answer while the others go on.
    begin
        update public.session_requests
        set status = 'accepted', mechanic_id = v_mechanic_id
        -- As text, so that no partial index fits: a plan made while few requests were pending would
        -- read all the pending ones, not the one of this id.
        where id = p_request_id and status::text = 'pending'
        returning * into v_request;
        if v_request.id is null then
            raise sqlstate 'FP000';
        end if;
    exception
        when sqlstate 'FP000' then null;
    end;

    if v_request.id is null then
        -- As dispatch.require_mechanic, without the price of its calls.
        if
            not exists (
                select from public.mechanics as m
                where m.id = v_mechanic_id and m.status = 'approved'
            )
        then
            perform dispatch.raise_error('not_a_mechanic');
        end if;
        select * into v_request from public.session_requests where id = p_request_id;
        -- The winner asks again, perhaps because the first answer was lost: same answer.
        if
            v_request.mechanic_id is distinct from v_mechanic_id
            or v_request.status not in ('accepted', 'completed')
        then
            perform dispatch.raise_error(
                -- Open to this mechanic, and yet not written: some trigger kept the row as it was.
                coalesce(dispatch.refusal(v_request, v_mechanic_id), 'request_not_pending')
            );
        end if;
    end if;
    -- As dispatch.shown_request, without the price of a call.
    v_request.metadata := case jsonb_typeof(v_request.metadata)
        when 'object'
            then v_request.metadata - array['stripe_checkout_session_id', 'stripe_payment_intent']
        else '{}'
    end;
    return v_request;
end;
$$;

comment on function dispatch.accept_request(uuid) is
'Behind public.accept_session_request.';
revoke all on function dispatch.accept_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.accept_request(uuid) to authenticated;
