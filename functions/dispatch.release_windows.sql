create or replace function dispatch.release_windows()
returns trigger
language plpgsql
volatile
-- definer: whoever may suspend a mechanic need not be allowed to write requests
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The guard on session_requests sees that the mechanic is gone, and broadcasts.
    update public.session_requests
    set updated_at = now()
    where
        preferred_mechanic_id = new.id and status = 'pending' and notification_sent_at is null;
    return null;
end;
$$;

comment on function dispatch.release_windows() is
'Trigger: a mechanic who is no longer approved loses the open priority windows, at once.';
revoke all on function dispatch.release_windows() from public, anon, authenticated, service_role;
