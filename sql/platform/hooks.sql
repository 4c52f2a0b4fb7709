-- The seam. The platform asks these seven functions about priority; this file holds the answers of
-- a platform without the feature: there is none. The feature's up.sql replaces six of them with
-- the ones in functions/ (its setter replaces the flag), and those stay while it is installed; its
-- down.sql takes the setter away and runs this file again.
do $hooks$
begin
    if to_regprocedure('dispatch.set_favorites_priority(boolean)') is null then
        create or replace function dispatch.favorites_priority_enabled()
        returns boolean
        language plpgsql
        stable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return false;
        end;
        $$;

        create or replace function dispatch.priority_window(
            p_request public.session_requests,
            out mechanic_id uuid,
            out window_minutes integer,
            out ends_at timestamptz
        )
        returns record
        language plpgsql
        stable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return;
        end;
        $$;

        create or replace function dispatch.route_request()
        returns trigger
        language plpgsql
        volatile
        -- definer: the writer may be service_role, which has no business in dispatch
        security definer
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            if new.status = 'pending' then
                new.notification_sent_at := now();
                new.expires_at := coalesce(new.expires_at, now() + interval '24 hours');
                -- Where the feature was, a wish for a favourite may still come with a payment, and
                -- dispatch.process_stripe_event hands over what Stripe brought in any case.
                new.metadata := case jsonb_typeof(new.metadata)
                    when 'object' then new.metadata - array[
                        'checkout', 'routing_type', 'preferred_mechanic_id',
                        'priority_window_minutes', 'skip_if_offline', 'routing_reason'
                    ]
                    else '{}'
                end;
            end if;
            return new;
        end;
        $$;

        create or replace function dispatch.log_new_request()
        returns trigger
        language plpgsql
        volatile
        -- definer: the writer may be service_role, which has no business in dispatch
        security definer
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            if new.status = 'pending' then
                perform dispatch.record_event(
                    new,
                    'new_request',
                    array['customer:' || new.customer_id, 'session_requests_feed'],
                    '{"is_fallback_broadcast": false}'
                );
            end if;
            return null;
        end;
        $$;

        create or replace function dispatch.pending_windows(p_before timestamptz, p_limit integer)
        returns table (request_id uuid, ends_at timestamptz)
        language plpgsql
        stable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return;
        end;
        $$;

        create or replace function dispatch.unannounced_requests(p_mechanic_id uuid)
        returns table (request_id uuid, window_ends_at timestamptz)
        language plpgsql
        stable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            -- Written before there were triggers.
            return query
            select r.id, null::timestamptz from public.session_requests as r
            where r.status = 'pending' and r.notification_sent_at is null;
        end;
        $$;

        create or replace function dispatch.fallback_reason(
            p_old public.session_requests,
            p_new public.session_requests,
            out reason text,
            out window_ended_at timestamptz
        )
        returns record
        language plpgsql
        stable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return;
        end;
        $$;
    end if;
end;
$hooks$;

\ir hook_grants.sql
