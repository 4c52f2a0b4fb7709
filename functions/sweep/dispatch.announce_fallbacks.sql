create or replace function dispatch.announce_fallbacks(p_limit integer, p_now timestamptz)
returns integer
language plpgsql
volatile
-- definer: as the trigger on the table, so that both know alike whether the session is the owner's
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_due uuid[];
    v_id uuid;
    v_count integer;
    -- On ours, one statement logs what was broadcast, if the triggers leave it to that.
    v_is_batch constant boolean := dispatch.governs_all() and session_user = current_user;
    -- Of the sweep within whose statement a trigger of the marketplace's began this one.
    v_outer_batch constant text := coalesce(current_setting('dispatch.batch', true), '');
    v_broadcast uuid[];
    -- What ended by time, and whose it was.
    v_ended uuid[];
    v_mechanics uuid[];
    v_changed dispatch.requests;
begin
    v_due := array(select w.request_id from dispatch.pending_windows(p_now, p_limit) as w);
    if v_due = '{}' then
        return 0;
    end if;
    -- From here on nothing is deferred: each row of another's that is moved on asks for all that waits.
    if not dispatch.governs_all() then
        perform dispatch.ask_deferred();
    end if;
    if v_is_batch then
        perform set_config('dispatch.batch', (pg_trigger_depth() + 1)::text, true);
    end if;
    -- Found by id alone, then filtered: with the filter, a plan made while few requests were pending
    -- reads all the pending ones. What another sweep moved on meanwhile is the next favourite's.
    with found as materialized (
        select r.id, r.is_pending, r.announced_at, r.window_ends_at
        from dispatch.requests as r
        where r.id = any(v_due)
        for update skip locked
    ),

    changed as (
        update dispatch.requests as r
        set announced_at = p_now
        from found
        where
            r.id = found.id and found.is_pending and found.announced_at is null
            and (found.window_ends_at <= p_now or not dispatch.favorites_priority_enabled())
        returning r.id, r.preferred_mechanic_id, r.window_ends_at, r.announced_at, r.is_pending
    )

    select
        count(*)::integer,
        -- (Of what a trigger of theirs ends instead, the log's trigger has noted it.)
        array_agg(c.id order by c.window_ends_at)
        filter (where c.announced_at >= c.window_ends_at and c.is_pending),
        array_agg(c.preferred_mechanic_id order by c.window_ends_at)
        filter (where c.announced_at >= c.window_ends_at and c.is_pending),
        array_agg(c.id order by c.window_ends_at)
        filter (where c.announced_at is not null and c.is_pending)
    into v_count, v_ended, v_mechanics, v_broadcast
    from changed as c;
    if v_is_batch then
        perform set_config('dispatch.batch', v_outer_batch, true);
        if v_broadcast is not null then
            perform dispatch.log_broadcasts(v_broadcast);
        end if;
    end if;
    if v_ended is not null and dispatch.favorites_priority_enabled() then
        perform dispatch.note_silences(v_ended, v_mechanics);
    end if;
    -- What is checked at the commit would stop the rest then.
    perform dispatch.ask_deferred();
    return v_count;
exception
    -- A row that raises (some trigger of the marketplace's own) must not stop the rest, whatever
    -- it raises: take them one by one and leave that one behind.
    when assert_failure or others then
        raise warning 'broadcasting one by one: %', sqlerrm;
        v_count := 0;
        for v_id in select w.request_id from dispatch.pending_windows(p_now, null) as w
        loop
            exit when v_count >= p_limit;
            begin
                update dispatch.requests
                set announced_at = p_now
                where
                    id = (
                        select r.id from dispatch.requests as r
                        where
                            r.id = v_id and r.is_pending and r.announced_at is null
                            and (
                                r.window_ends_at <= p_now
                                or not dispatch.favorites_priority_enabled()
                            )
                        for update skip locked
                    )
                returning * into v_changed;
                if found then
                    perform dispatch.ask_deferred();
                    v_count := v_count + 1;
                    if
                        v_changed.announced_at >= v_changed.window_ends_at
                        and v_changed.is_pending
                        and dispatch.favorites_priority_enabled()
                    then
                        perform dispatch.note_silences(
                            array[v_id], array[v_changed.preferred_mechanic_id]
                        );
                    end if;
                end if;
            exception
                when assert_failure or others then
                    raise warning 'request % could not be broadcast: %', v_id, sqlerrm;
            end;
        end loop;
        return v_count;
end;
$$;

comment on function dispatch.announce_fallbacks(integer, timestamptz) is
'Broadcasts up to p_limit requests whose priority window is over at p_now. Returns how many.';
revoke all on function dispatch.announce_fallbacks(integer, timestamptz)
from public, anon, authenticated, service_role;
