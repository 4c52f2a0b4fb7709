-- Hook: the platform's neutral version is in sql/platform/hooks.sql.
-- The reason is read off the row and the caller, so that a broadcast is explained the same way
-- whichever way it came about, a plain UPDATE included.
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
declare
    v_ends_at constant timestamptz := p_old.priority_notified_at
    + make_interval(mins => p_old.priority_window_minutes);
begin
    reason := case
        when p_old.priority_notified_at is null then null
        when not dispatch.favorites_priority_enabled() then 'flag_off'
        when
            not exists (
                select from public.mechanics as m
                where m.id = p_new.preferred_mechanic_id and m.status = 'approved'
            ) then 'mechanic_gone'
        when p_new.notification_sent_at >= v_ends_at then 'window_ended'
        when auth.uid() = p_old.preferred_mechanic_id then 'declined'
        else 'customer'
    end;
    if reason = 'window_ended' then
        window_ended_at := v_ends_at;
    end if;
end;
$$;
