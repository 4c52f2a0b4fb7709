create or replace function dispatch.set_favorites_priority(enabled boolean)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rounds integer;
begin
    if enabled is null then
        raise null_value_not_allowed using
            message = 'enabled is null', hint = 'Pass true or false.';
    end if;
    perform pg_advisory_xact_lock(1178687058, -2);
    if enabled <> dispatch.favorites_priority_enabled() then
        if enabled then
            -- What was open to all while the flag was off, and could not be announced because
            -- somebody held the row, must not be reserved again.
            perform r.id
            from dispatch.pending_windows('infinity', null) as w
            inner join dispatch.requests as r on r.id = w.request_id
            for update of r;
            while dispatch.sweep(10000) > 0 loop
                null;
            end loop;
        end if;
        perform dispatch.make_setting('dispatch.favorites_priority_enabled()', enabled::text);
    end if;
    if not enabled then
        -- Every open window is over now; say so to everyone. As many as there are at this moment: for
        -- the others the flag is on until the commit, and while they book there would be no end. What
        -- they book meanwhile the next sweep finds. (Without any, what is due besides is done.)
        select greatest(ceil(count(*) / 10000.0), 1)::integer into v_rounds
        from dispatch.pending_windows('infinity', null);
        for v_round in 1 .. v_rounds loop
            exit when dispatch.sweep(10000) = 0;
        end loop;
    end if;
    return enabled;
end;
$$;

comment on function dispatch.set_favorites_priority(boolean) is
'Turns ENABLE_FAVORITES_PRIORITY for every client at once. Off also broadcasts every request '
'whose window is open. Only the owner may.';
revoke all on function dispatch.set_favorites_priority(boolean)
from public, anon, authenticated, service_role;
