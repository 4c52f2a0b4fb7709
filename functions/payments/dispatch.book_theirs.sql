-- Changes public.session_requests.
-- On a marketplace that was there first: its row has the three columns for the wish that Stripe's
-- metadata has, and no more.
create or replace function dispatch.book_theirs(
    p_id uuid,
    p_customer_id uuid,
    p_checkout jsonb,
    p_refunded_at timestamptz default null
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_metadata jsonb := p_checkout -> 'metadata';
    v_plan dispatch.plans;
    v_wanted_ids uuid[];
    v_known_ids uuid[];
    v_minutes integer;
    v_skipped jsonb;
    v_is_booked boolean;
begin
    select * into v_plan from dispatch.plans as p where p.code = v_metadata ->> 'plan_code';
    if v_plan.code is null then
        return null;
    end if;
    if
        v_metadata ->> 'routing_type' = 'priority_broadcast' and p_refunded_at is null
        and dispatch.favorites_priority_enabled()
    then
        -- Nobody's id is not written: a column that was theirs before may have a foreign key.
        v_wanted_ids := dispatch.wished_mechanics(v_metadata);
        select
            array_agg(w.id order by w.number) filter (where m.id is not null),
            jsonb_agg(
                jsonb_build_object('mechanic_id', w.id, 'reason', 'unknown_mechanic')
                order by w.number
            ) filter (where m.id is null)
        into v_known_ids, v_skipped
        from unnest(v_wanted_ids) with ordinality as w (id, number)
        left join dispatch.mechanics as m on m.id = w.id;
        -- For dispatch.route_request, as their row has a column for the first alone.
        insert into dispatch.steps (request_id, turn, mechanic_id, window_minutes)
        select p_id, w.number, w.id, 0
        from unnest(v_known_ids) with ordinality as w (id, number)
        where w.number > 1;
        -- What is no length is none: dispatch.route_request says so.
        v_minutes := case
            when v_known_ids is null then null
            when v_metadata ->> 'priority_window_minutes' ~ '^[0-9]{1,9}$'
                then (v_metadata ->> 'priority_window_minutes')::integer
            when v_metadata ->> 'priority_window_minutes' is not null then 0
        end;
        if v_metadata ->> 'skip_if_offline' = 'true' then
            perform dispatch.note_routing(p_id, 'skip_if_offline');
        end if;
    end if;
    v_is_booked := dispatch.insert_request(
        p_id,
        p_customer_id,
        coalesce(v_plan.session_type, v_metadata ->> 'session_type'),
        v_plan.code,
        case when p_refunded_at is null then 'pending' else 'cancelled' end,
        p_checkout #>> '{customer_details,name}',
        p_checkout #>> '{customer_details,email}',
        v_metadata ->> 'notes',
        v_metadata ->> 'requested_brand',
        coalesce(
            v_metadata ->> 'customer_country', p_checkout #>> '{customer_details,address,country}'
        ),
        coalesce(v_metadata ->> 'customer_city', p_checkout #>> '{customer_details,address,city}'),
        p_preferred_mechanic_id => v_known_ids[1],
        p_priority_window_minutes => v_minutes
    );
    if not v_is_booked then
        return null;
    end if;
    if v_skipped is not null then
        perform dispatch.log_skipped(dispatch.as_request(s), v_skipped)
        from public.session_requests as s
        where s.id = p_id;
    end if;
    return p_id;
end;
$$;

comment on function dispatch.book_theirs(uuid, uuid, jsonb, timestamptz) is
'Books a Checkout Session (or what has its metadata and customer_details) on a marketplace that '
'was there first; one that was refunded is booked as cancelled. Returns its id; null: there is '
'no such plan, or a trigger kept the row out.';
revoke all on function dispatch.book_theirs(uuid, uuid, jsonb, timestamptz)
from public, anon, authenticated, service_role;
