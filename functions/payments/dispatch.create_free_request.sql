-- Changes public.session_requests.
create or replace function dispatch.create_free_request(
    p_plan_code text,
    p_preferred_mechanic_id uuid,
    p_routing_type text,
    p_notes text,
    p_attempt uuid,
    p_preferred_mechanic_ids uuid[]
)
returns public.session_requests
language plpgsql
volatile
-- definer: clients have no INSERT on session_requests; the caller books for themselves only
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_customer_id uuid := dispatch.require_user();
    v_id uuid := gen_random_uuid();
    v_plan dispatch.plans;
    v_ids uuid[] := coalesce(
        p_preferred_mechanic_ids, nullif(array[p_preferred_mechanic_id], array[null::uuid])
    );
    v_wish jsonb := '{}'::jsonb;
    v_notes text;
    v_name constant text := auth.jwt() #>> '{user_metadata,full_name}';
    v_email constant text := auth.jwt() ->> 'email';
    v_request public.session_requests;
begin
    -- A token may outlive its account. Locked, so that a deletion under way is waited for.
    perform from auth.users as u where u.id = v_customer_id for key share;
    if not found then
        perform dispatch.raise_error('not_signed_in');
    end if;
    select * into v_plan from dispatch.plans as p
    where p.code = p_plan_code and p.is_active and p.price_cents = 0;
    if v_plan.code is null then
        perform dispatch.raise_error('invalid_plan');
    end if;
    if dispatch.wants_priority(p_routing_type, v_ids) then
        v_wish := jsonb_build_object(
            'routing_type', p_routing_type, 'preferred_mechanic_ids', array_to_string(v_ids, ',')
        );
    end if;
    v_notes := dispatch.tidy_notes(p_notes);

    -- The same attempt at the same booking has the same id, which nobody else's can be: asked again,
    -- or twice at once, it is booked once. (A hash, in the form of a UUID of version 8.)
    if p_attempt is not null then
        v_id := overlay(
            overlay(
                md5(
                    concat_ws(
                        ' ', v_customer_id, p_attempt, v_plan.code, p_routing_type,
                        array_to_string(v_ids, ' ')
                    )
                )
                placing '8' from 13
            )
            placing '8' from 17
        )::uuid;
        perform pg_advisory_xact_lock(hashtextextended(v_id::text, 1178687058));
        select * into v_request from public.session_requests as r where r.id = v_id;
        if v_request.id is not null then
            return dispatch.shown_request(v_request);
        end if;
    end if;

    begin
        if dispatch.governs_all() then
            perform dispatch.insert_request(
                v_id, v_customer_id, v_plan.session_type, v_plan.code, 'pending', v_name, v_email,
                v_notes, p_metadata => v_wish
            );
            perform dispatch.ask_deferred();
        else
            perform dispatch.book_theirs(
                v_id,
                v_customer_id,
                jsonb_build_object(
                    'metadata',
                    v_wish || jsonb_build_object('plan_code', v_plan.code, 'notes', v_notes),
                    'customer_details', jsonb_build_object('name', v_name, 'email', v_email)
                )
            );
        end if;
    exception
        when assert_failure or others then
            perform dispatch.raise_refused(sqlstate, 'booking_refused');
            raise;
    end;
    select * into v_request from public.session_requests as r where r.id = v_id;
    if v_request.id is null then
        perform dispatch.raise_refused(null, 'booking_refused');
    end if;
    return dispatch.shown_request(v_request);
end;
$$;

comment on function dispatch.create_free_request(text, uuid, text, text, uuid, uuid[]) is
'Behind public.request_free_session.';
revoke all on function dispatch.create_free_request(text, uuid, text, text, uuid, uuid[])
from public, anon, authenticated, service_role;
grant execute on function dispatch.create_free_request(text, uuid, text, text, uuid, uuid[])
to authenticated;
