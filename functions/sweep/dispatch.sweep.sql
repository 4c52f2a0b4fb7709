-- Changes public.session_requests: announces the windows that are over, expires what nobody took.
-- Who may accept does not wait for this; it only tells.
create or replace function dispatch.sweep(
    p_limit integer default 1000,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The index on the deadline is right for every p_now; planning each tick anew would cost more
-- than the tick itself.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
    v_done integer;
    -- A trigger of the marketplace's may sweep within another sweep, which goes on as it was.
    v_delivery constant text := coalesce(current_setting('dispatch.delivery', true), '');
    v_sweeping constant text := coalesce(current_setting('dispatch.sweeping', true), '');
begin
    -- One commit for many notices. Beyond this a NOTIFY may fail it: then they go out later.
    perform set_config(
        'dispatch.delivery',
        case when pg_notification_queue_usage() > 0.9 then 'later' else 'now' end,
        true
    ),
    -- Of its windows dispatch.announce_fallbacks notes who let them pass, of all at once.
    set_config('dispatch.sweeping', 'yes', true);
    v_done := dispatch.announce_fallbacks(p_limit, p_now) + dispatch.expire_requests(p_limit, p_now);
    perform set_config('dispatch.delivery', v_delivery, true),
    set_config('dispatch.sweeping', v_sweeping, true);
    if v_done > 0 then
        perform setval(
            'dispatch.last_delivery', (date_part('epoch', clock_timestamp()) * 1000)::bigint
        );
    end if;
    return v_done;
end;
$$;

comment on function dispatch.sweep(integer, timestamptz) is
'Broadcasts requests whose window is over at p_now and expires stale ones, up to p_limit of each. '
'Returns how many requests it changed. Safe to run twice at once.';
revoke all on function dispatch.sweep(integer, timestamptz)
from public, anon, authenticated, service_role;
