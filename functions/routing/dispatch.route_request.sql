-- On a marketplace of ours. The wish for a favourite comes in the columns (a backend's plain INSERT)
-- or in metadata, as Stripe brings it. What was decided stays in the columns; why a wish was not
-- granted as asked stays in metadata.routing_reason, where dispatch.log_new_request finds it.
create or replace function dispatch.route_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wish jsonb := coalesce(new.metadata -> 'checkout', new.metadata);
    v_request dispatch.requests;
    v_wanted_id uuid;
    v_window record;
begin
    if new.status <> 'pending' then
        return new;  -- imported: nothing to route
    end if;

    new.metadata := case jsonb_typeof(new.metadata)
        when 'object' then new.metadata - array[
            'checkout', 'routing_type', 'preferred_mechanic_id', 'priority_window_minutes',
            'skip_if_offline', 'routing_reason'
        ]
        else '{}'
    end;
    -- The columns of the window are named below only where they must be there.
    v_request := dispatch.as_request(new);
    v_wanted_id := v_request.preferred_mechanic_id;

    if
        (v_wanted_id is not null or v_wish ->> 'routing_type' = 'priority_broadcast')
        and dispatch.favorites_priority_enabled()
    then
        if v_wanted_id is null then
            begin  -- as dispatch.to_uuid, without the price of a call in every booking
                v_wanted_id := (v_wish ->> 'preferred_mechanic_id')::uuid;
            exception
                when invalid_text_representation then null;  -- unknown, as an id that is nobody's
            end;
        end if;
        v_window := dispatch.grant_window(
            v_wanted_id,
            new.customer_id,
            coalesce(v_request.window_minutes::text, v_wish ->> 'priority_window_minutes'),
            v_wish ->> 'skip_if_offline' = 'true'
        );
        if v_window.reason is not null then
            new.metadata := new.metadata || jsonb_build_object('routing_reason', v_window.reason);
        end if;
        if v_window.minutes is not null then
            -- Nobody else's until it is accepted.
            new.mechanic_id := null;
            new.preferred_mechanic_id := v_wanted_id;
            new.priority_window_minutes := v_window.minutes;
            new.priority_notified_at := dispatch.window_began_at(
                v_request.window_began_at, v_window.minutes
            );
            new.notification_sent_at := null;
            return new;
        end if;
    end if;

    if v_request.preferred_mechanic_id is not null then
        new.preferred_mechanic_id := null;
    end if;
    if v_request.window_minutes is not null then
        new.priority_window_minutes := null;
    end if;
    if v_request.window_began_at is not null then
        new.priority_notified_at := null;
    end if;
    new.notification_sent_at := now();
    new.expires_at := coalesce(new.expires_at, now() + interval '24 hours');
    return new;
end;
$$;

comment on function dispatch.route_request() is
'Trigger: decides, once and for every writer, where a new pending request goes.';
revoke all on function dispatch.route_request() from public, anon, authenticated, service_role;
