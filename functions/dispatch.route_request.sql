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
set search_path = ''
as $$
declare
    v_wish jsonb := new.metadata;
    v_minutes text;
    v_mechanic public.mechanics;
    v_reason text;
begin
    new.metadata := dispatch.without_routing(v_wish);

    if
        (new.preferred_mechanic_id is not null or v_wish ->> 'routing_type' = 'priority_broadcast')
        and dispatch.favorites_priority_enabled()
    then
        select * into v_mechanic from public.mechanics
        where
            id = coalesce(
                new.preferred_mechanic_id, dispatch.to_uuid(v_wish ->> 'preferred_mechanic_id')
            );
        v_reason := case
            when v_mechanic.id is null then 'unknown_mechanic'
            when v_mechanic.id = new.customer_id then 'own_request'
            when v_mechanic.status is distinct from 'approved' then 'not_approved'
            when v_wish ->> 'skip_if_offline' is distinct from 'true' then null
            when not dispatch.is_online(v_mechanic, now()) then 'offline'
        end;

        if v_reason is null then
            v_minutes := coalesce(
                new.priority_window_minutes::text, v_wish ->> 'priority_window_minutes', '10'
            );
            if v_minutes <> '10' and v_minutes !~ '^([1-9]|[1-5][0-9]|60)$' then
                v_minutes := '10';
                new.metadata := new.metadata || '{"routing_reason": "invalid_window"}';
            end if;
            -- Nobody else's until it is accepted.
            new.mechanic_id := null;
            new.preferred_mechanic_id := v_mechanic.id;
            new.priority_window_minutes := v_minutes::integer;
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
