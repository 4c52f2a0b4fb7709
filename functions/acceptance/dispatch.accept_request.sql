-- Changes public.session_requests. Who may accept is decided by the guard on the table, which sees
-- the row as locked: of many at once one wins, and the others then find it taken.
create or replace function dispatch.accept_request(p_request_id uuid)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no UPDATE on session_requests; the caller is checked by the guard
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_user_id uuid := auth.uid();
    v_mechanic_id uuid;
    v_request dispatch.requests;
    v_accepted public.session_requests;
begin
    -- As dispatch.require_user, without the price of a call in every accept.
    if v_user_id is null then
        perform dispatch.raise_error('not_signed_in');
    end if;
    -- On a marketplace of ours the guard asks for all of this, once. Another's asks only for what it
    -- must of statements that are its own.
    if dispatch.max_open_sessions() is not null or not dispatch.governs_all() then
        v_mechanic_id := dispatch.require_mechanic();
        -- Before any row is locked: whoever moves on what this mechanic can no longer take finds it
        -- free.
        if dispatch.max_open_sessions() is not null then
            perform dispatch.lock_sessions(
                case when dispatch.assigns_user_id() then v_user_id else v_mechanic_id end
            );
        end if;
        if not dispatch.governs_all() then
            -- As a foreign key will, but before the request: a deletion locks these first, too.
            perform from auth.users as u where u.id = v_user_id for key share;
            perform from dispatch.mechanics as m where m.id = v_mechanic_id for key share;
            select * into v_request from dispatch.requests as r
            where r.id = p_request_id
            for update;
            if dispatch.refusal(v_request, v_mechanic_id, v_user_id) is not null then
                return dispatch.accepted_before(p_request_id, v_mechanic_id);
            end if;
        end if;
    end if;
    -- Whoever waited for the winner and lost holds a lock on the row, for which the next one waits:
    -- going back gives it up at once, and each finds its answer while the others go on.
    begin
        if dispatch.governs_all() then
            update public.session_requests
            set status = 'accepted', mechanic_id = v_user_id
            -- As text, so that no partial index fits: a plan made while few requests were pending
            -- would read all the pending ones, not the one of this id.
            where
                id = p_request_id and status::text = 'pending'
                -- As the foreign key will, but before the request: a deletion of this account locks
                -- it first, too.
                and exists (select from auth.users as u where u.id = v_user_id for key share)
            returning * into v_accepted;
        else
            v_accepted := dispatch.assign_request(
                p_request_id,
                case when dispatch.assigns_user_id() then v_user_id else v_mechanic_id end
            );
        end if;
        if v_accepted.id is null then
            raise sqlstate 'FP000';
        end if;
        -- What a marketplace has checked at the commit it refuses here, where that has our words.
        -- (On ours as dispatch.ask_deferred, without the price of a call in every accept.)
        if dispatch.governs_all() and pg_my_temp_schema() = 0 then
            set constraints all immediate;
        else
            perform dispatch.ask_deferred();
        end if;
    exception
        when sqlstate 'FP000' then null;
        when assert_failure or others then
            -- By the foreign key: the mechanic's account may have been deleted at this moment.
            if
                sqlstate <> '23503' or dispatch.approved_mechanic_of(v_user_id) is not null
            then
                perform dispatch.raise_refused(sqlstate, 'request_not_pending');
                raise;
            end if;
    end;
    if v_accepted.id is null then
        return dispatch.accepted_before(p_request_id, dispatch.require_mechanic());
    end if;

    if not dispatch.governs_all() then
        return dispatch.shown_request(v_accepted);
    end if;
    -- As that, without the price of a call.
    v_accepted.metadata := case jsonb_typeof(v_accepted.metadata)
        when 'object'
            then v_accepted.metadata - dispatch.payment_keys()
        else '{}'
    end;
    return v_accepted;
end;
$$;

comment on function dispatch.accept_request(uuid) is
'Behind public.accept_session_request.';
revoke all on function dispatch.accept_request(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.accept_request(uuid) to authenticated;
