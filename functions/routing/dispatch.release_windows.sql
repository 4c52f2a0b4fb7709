-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.release_windows()
returns trigger
language plpgsql
volatile
-- definer: whoever may suspend a mechanic need not be allowed to write requests
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not dispatch.is_approved_mechanic(old.id) then
        perform dispatch.announce_each(
            array(
                select r.id from dispatch.requests as r
                where
                    r.preferred_mechanic_id = old.id
                    and r.is_pending and r.announced_at is null and r.window_began_at is not null
            ),
            now(),
            array[old.id]
        );
    end if;
    return null;
end;
$$;

comment on function dispatch.release_windows() is
'Trigger: a mechanic who is no longer approved, or whose account is gone, loses the open priority '
'windows, at once.';
revoke all on function dispatch.release_windows() from public, anon, authenticated, service_role;
