create or replace function dispatch.make_checkout(
    p_plan_code text,
    p_preferred_mechanic_id uuid,
    p_routing_type text,
    p_window_minutes integer,
    p_skip_if_offline boolean,
    p_notes text,
    p_preferred_mechanic_ids uuid[]
)
returns jsonb
language plpgsql
stable
-- definer: reads the flag; the caller books for nobody but themselves
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer_id uuid := dispatch.require_user();
    v_plan dispatch.plans;
    v_ids uuid[] := coalesce(
        p_preferred_mechanic_ids, nullif(array[p_preferred_mechanic_id], array[null::uuid])
    );
    v_notes text;
    v_is_priority boolean;
    v_name text;
begin
    -- A token may outlive its account, for which no payment could be booked.
    if not exists (select from auth.users as u where u.id = v_customer_id) then
        perform dispatch.raise_error('not_signed_in');
    end if;
    select * into v_plan from dispatch.plans as p where p.code = p_plan_code and p.is_active;
    if v_plan.code is null then
        perform dispatch.raise_error('invalid_plan');
    end if;
    v_is_priority := dispatch.wants_priority(p_routing_type, v_ids);
    if
        p_window_minutes not between 1 and 60
        or (v_is_priority and p_window_minutes * cardinality(v_ids) > 60)
    then
        perform dispatch.raise_error('invalid_window');
    end if;
    v_notes := dispatch.tidy_notes(p_notes);

    if v_is_priority then
        -- Whether the mechanic can be had is decided when the payment comes; no banner promises
        -- one who cannot be had even now. A name has nothing that turns the words around it.
        select
            string_agg(
                left(
                    coalesce(
                        nullif(
                            btrim(
                                regexp_replace(
                                    m.display_name, '[\u202a-\u202e\u2066-\u2069]', '', 'g'
                                )
                            ),
                            ''
                        ),
                        'your favourite'
                    ),
                    200
                ),
                ', then ' order by i.number
            ) into v_name
        from unnest(v_ids) with ordinality as i (id, number)
        inner join dispatch.mechanics as m on m.id = i.id
        where
            m.is_approved and m.user_id <> v_customer_id
            and not dispatch.is_blocked(v_customer_id, m.user_id);
    end if;
    return jsonb_build_object(
        'plan', jsonb_build_object(
            'code', v_plan.code,
            'title', v_plan.title,
            'session_type', v_plan.session_type,
            'price_cents', v_plan.price_cents,
            'currency', v_plan.currency
        ),
        'metadata', jsonb_strip_nulls(jsonb_build_object(
            'customer_id', v_customer_id,
            'plan_code', v_plan.code,
            'session_type', v_plan.session_type,
            'routing_type', case when v_is_priority then 'priority_broadcast' else 'broadcast' end,
            'preferred_mechanic_id', case when v_is_priority then v_ids[1] end,
            'preferred_mechanic_ids',
            case when v_is_priority and cardinality(v_ids) > 1 then array_to_string(v_ids, ',') end,
            'priority_window_minutes',
            case when v_is_priority then coalesce(p_window_minutes, 10)::text end,
            'skip_if_offline', case when v_is_priority and p_skip_if_offline then 'true' end,
            'notes', v_notes
        )),
        'banner', 'Booking with ' || v_name || ' (Priority)'
    );
end;
$$;

comment on function dispatch.make_checkout(text, uuid, text, integer, boolean, text, uuid[]) is
'Behind public.prepare_checkout.';
revoke all on function dispatch.make_checkout(text, uuid, text, integer, boolean, text, uuid[])
from public, anon, authenticated, service_role;
grant execute on function dispatch.make_checkout(text, uuid, text, integer, boolean, text, uuid[])
to authenticated;
