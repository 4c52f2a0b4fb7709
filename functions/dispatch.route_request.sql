-- Hook: the platform's neutral version is in sql/platform/hooks.sql.
-- The wish for a favourite comes in the columns (a backend's plain INSERT) or in metadata, as
-- Stripe brings it. What was decided stays in the columns; why a wish was not granted as asked
-- stays in metadata.routing_reason, where dispatch.log_new_request finds it.
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
    v_wanted_id uuid := new.preferred_mechanic_id;
    v_is_wanted boolean := v_wanted_id is not null;
    v_minutes text;
    v_mechanic record;
    v_reason text;
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
    if not v_is_wanted then
        v_is_wanted := v_wish ->> 'routing_type' = 'priority_broadcast';
    end if;

    if v_is_wanted and dispatch.favorites_priority_enabled() then
        if v_wanted_id is null then
            begin  -- as dispatch.to_uuid, without the price of a call in every booking
                v_wanted_id := (v_wish ->> 'preferred_mechanic_id')::uuid;
            exception
                when invalid_text_representation then null;  -- unknown, as an id that is nobody's
            end;
        end if;
        -- Locked, so that a suspension or deletion under way is waited for, and a later one sees this
        -- request and announces it.
        select m.id, m.status into v_mechanic
        from public.mechanics as m
        where m.id = v_wanted_id
        for share;
        if v_mechanic.id is null then
            v_reason := 'unknown_mechanic';
        elsif v_mechanic.id = new.customer_id then
            v_reason := 'own_request';
        elsif v_mechanic.status is distinct from 'approved' then
            v_reason := 'not_approved';
        elsif v_wish ->> 'skip_if_offline' = 'true' then
            select case when not dispatch.is_online(m, now()) then 'offline' end into v_reason
            from public.mechanics as m
            where m.id = v_wanted_id;
        end if;

        if v_reason is null then
            v_minutes := coalesce(
                new.priority_window_minutes::text, v_wish ->> 'priority_window_minutes', '10'
            );
            new.priority_window_minutes := 10;
            if v_minutes <> '10' then
                if v_minutes ~ '^([1-9]|[1-5][0-9]|60)$' then
                    new.priority_window_minutes := v_minutes::integer;
                else
                    new.metadata := new.metadata || '{"routing_reason": "invalid_window"}';
                end if;
            end if;
            -- Nobody else's until it is accepted.
            new.mechanic_id := null;
            new.preferred_mechanic_id := v_mechanic.id;
            -- A backend may say that it told the mechanic earlier, never that it will.
            new.priority_notified_at := least(new.priority_notified_at, now());
            new.notification_sent_at := null;
            return new;
        end if;
        new.metadata := new.metadata || jsonb_build_object('routing_reason', v_reason);
    end if;

    new.preferred_mechanic_id := null;
    new.priority_window_minutes := null;
    new.priority_notified_at := null;
    new.notification_sent_at := now();
    new.expires_at := coalesce(new.expires_at, now() + interval '24 hours');
    return new;
end;
$$;
