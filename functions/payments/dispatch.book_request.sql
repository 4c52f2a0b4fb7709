-- Changes public.session_requests.
create or replace function dispatch.book_request(
    p_id uuid,
    p_customer_id uuid,
    p_session_type text,
    p_plan_code text,
    p_status text,
    p_wish jsonb,
    p_metadata jsonb,
    p_customer_name text,
    p_customer_email text,
    p_notes text default null,
    p_requested_brand text default null,
    p_customer_country text default null,
    p_customer_city text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wanted_id uuid;
    v_window record;
    v_minutes integer;
begin
    if dispatch.governs_all() then
        -- For dispatch.route_request, which finds the wish for a favourite there.
        return dispatch.insert_request(
            p_id, p_customer_id, p_session_type, p_plan_code, p_status, p_customer_name,
            p_customer_email, p_notes, p_requested_brand, p_customer_country, p_customer_city,
            case
                when p_wish is null then p_metadata
                else p_metadata || jsonb_build_object('checkout', p_wish)
            end
        );
    end if;

    -- Another's row has the three columns for it, and no more.
    if
        p_wish ->> 'routing_type' = 'priority_broadcast' and p_status = 'pending'
        and dispatch.favorites_priority_enabled()
    then
        v_wanted_id := dispatch.to_uuid(p_wish ->> 'preferred_mechanic_id');
        v_window := dispatch.grant_window(
            v_wanted_id,
            p_customer_id,
            p_wish ->> 'priority_window_minutes',
            p_wish ->> 'skip_if_offline' = 'true'
        );
        v_minutes := v_window.minutes;
        if v_window.reason is not null then
            perform dispatch.note_routing_reason(p_id, v_window.reason);
        end if;
    end if;
    return dispatch.insert_request(
        p_id, p_customer_id, p_session_type, p_plan_code, p_status, p_customer_name,
        p_customer_email, p_notes, p_requested_brand, p_customer_country, p_customer_city,
        p_preferred_mechanic_id => case when v_minutes is not null then v_wanted_id end,
        p_priority_window_minutes => v_minutes
    );
end;
$$;

comment on function dispatch.book_request(
    uuid, uuid, text, text, text, jsonb, jsonb, text, text, text, text, text, text
) is
'Inserts a request with the wish that Stripe''s metadata has: routing_type, preferred_mechanic_id, '
'priority_window_minutes, skip_if_offline. Returns whether it is there.';
revoke all on function dispatch.book_request(
    uuid, uuid, text, text, text, jsonb, jsonb, text, text, text, text, text, text
) from public, anon, authenticated, service_role;
