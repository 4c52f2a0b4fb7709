-- Changes public.mechanics, through dispatch.mechanics, on a marketplace of ours.
-- When somebody falls silent nothing is written, so that the last heartbeats must be looked at. An
-- index on updated_at would find the silent ones in a page or two, but each heartbeat would then
-- write to every index of the table, as would any other column that moves with the clock. The index
-- of those online changes only when somebody comes or goes. So the sweep's loop reads the rows of
-- those online, not of all there are, and does so each 15 seconds, not each tick.
create or replace function dispatch.mark_silent_mechanics_offline(
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
    v_silent_since timestamptz := dispatch.silent_since(p_now);
    v_id uuid;
    v_count integer;
begin
    -- Theirs is theirs, and what the engine remembers for them is read with its time.
    if not dispatch.governs_all() then
        return 0;
    end if;
    -- The announcements do not wait for whoever has locked the table.
    begin
        lock table dispatch.mechanics in row exclusive mode nowait;
    exception
        when lock_not_available then return 0;
    end;
    -- Only tidies the column for those who read the table; dispatch.is_online() never waits for it.
    -- last_seen_at stays: it is when the mechanic was last seen.
    -- An array, as a join may run its inner side, and with it the limit, more than once.
    update dispatch.mechanics as m
    set is_online = false
    where
        m.id = any(array(
            select silent.id from dispatch.mechanics as silent
            where silent.is_online and (silent.last_seen_at > v_silent_since) is not true
            limit p_limit
            for update skip locked
        ));
    get diagnostics v_count = row_count;
    perform dispatch.ask_deferred();
    return v_count;
exception
    -- A mechanic whose row raises (some trigger of the marketplace's own) must not hold up the
    -- announcements, nor keep the others online. By chance, so that none is always behind such ones.
    when assert_failure or others then
        raise warning 'marking the silent as offline one by one: %', sqlerrm;
        v_count := 0;
        for v_id in
            select silent.id from dispatch.mechanics as silent
            where silent.is_online and (silent.last_seen_at > v_silent_since) is not true
            order by random()
            limit p_limit
            for update skip locked
        loop
            begin
                update dispatch.mechanics as m set is_online = false where m.id = v_id;
                perform dispatch.ask_deferred();
                v_count := v_count + 1;
            exception
                when assert_failure or others then
                    raise warning 'mechanic % is not marked as offline: %', v_id, sqlerrm;
            end;
        end loop;
        return v_count;
end;
$$;

comment on function dispatch.mark_silent_mechanics_offline(integer, timestamptz) is
'Sets is_online to false for up to p_limit mechanics silent for 2 minutes at p_now. Returns how '
'many.';
revoke all on function dispatch.mark_silent_mechanics_offline(integer, timestamptz)
from public, anon, authenticated, service_role;
