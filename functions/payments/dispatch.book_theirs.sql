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
declare
    v_metadata jsonb := p_checkout -> 'metadata';
    v_plan dispatch.plans;
    v_preferred_id uuid;
    v_minutes integer;
    v_is_unknown boolean := false;
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
        v_preferred_id := dispatch.to_uuid(v_metadata ->> 'preferred_mechanic_id');
        v_is_unknown := not exists (
            select from dispatch.mechanics as m where m.id = v_preferred_id
        );
        if v_is_unknown then
            v_preferred_id := null;
        end if;
        -- What is no length is none: dispatch.route_request says so.
        v_minutes := case
            when v_is_unknown then null
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
        p_preferred_mechanic_id => v_preferred_id,
        p_priority_window_minutes => v_minutes
    );
    if not v_is_booked then
        return null;
    end if;
    if v_is_unknown then
        perform dispatch.record_event(
            p_id, r.session_type, v_plan.code, r.created_at,
            'priority_skipped', array['customer:' || p_customer_id],
            '{"reason": "unknown_mechanic"}'
        )
        from public.session_requests as s
        cross join dispatch.as_request(s) as r
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
