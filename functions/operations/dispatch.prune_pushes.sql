-- Changes dispatch.pushes, dispatch.devices, dispatch.blocks.
create or replace function dispatch.prune_pushes(
    p_older_than interval,
    p_limit integer default 1000,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sees_accounts constant boolean := dispatch.sees_accounts();
    v_count integer;
    v_devices integer;
    v_blocks integer;
begin
    -- Those of which nobody took care, too, as no sender ran: health() reads past them.
    delete from dispatch.pushes as p
    where
        p.id = any(array(
            select old.id from dispatch.pushes as old
            where
                old.finished_at < p_now - p_older_than
                or (old.finished_at is null and old.expires_at < p_now - interval '1 day')
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    -- No foreign key to the platform's table of users: whoever is gone is found here.
    delete from dispatch.devices as d
    where
        d.endpoint = any(array(
            select gone.endpoint from dispatch.devices as gone
            where
                v_sees_accounts
                and not exists (select from auth.users as u where u.id = gone.user_id)
            limit p_limit
            for update of gone skip locked
        ));
    get diagnostics v_devices = row_count;
    delete from dispatch.blocks as b
    where
        b.ctid = any(array(
            select gone.ctid from dispatch.blocks as gone
            where
                v_sees_accounts
                and (
                    not exists (select from auth.users as u where u.id = gone.user_id)
                    or not exists (select from auth.users as u where u.id = gone.other_id)
                )
            limit p_limit
            for update of gone skip locked
        ));
    get diagnostics v_blocks = row_count;
    return v_count + v_devices + v_blocks;
end;
$$;

comment on function dispatch.prune_pushes(interval, integer, timestamptz) is
'Deletes up to p_limit pushes that were finished longer ago than this at p_now, or of no use since '
'a day, and as many devices and blocks of people whose account is gone. Returns how many.';
revoke all on function dispatch.prune_pushes(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
