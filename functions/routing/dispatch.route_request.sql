-- Where a new request goes, decided once and for every writer. The wish for a favourite comes in
-- the columns (a backend's plain INSERT), or in Stripe's metadata. What was decided stays in the
-- columns; why a wish was not granted as asked is told to the trigger that logs it. On a
-- marketplace that was there first this runs only for a booking that names a favourite, and last of
-- all triggers before the insert: theirs see what they always saw, and their expiry is known.
create or replace function dispatch.route_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_request dispatch.requests;
    v_wish jsonb;
    v_is_new boolean := false;
    v_is_wanted boolean;
    v_wanted_ids uuid[];
    v_wanted_id uuid;
    v_number integer := 0;
    v_minutes text;
    v_window_minutes integer := 10;
    v_granted_id uuid;
    v_mechanic record;
    v_reason text;
    v_skip text;
    v_skipped jsonb;
    v_theirs text[];
begin
    if new.status <> 'pending' then
        return new;  -- imported: nothing to route
    end if;
    if dispatch.governs_all() then
        -- What an upsert gives to a row that is there is for the guard of updates to look at, as it
        -- is given. (Stripe's bookings, which have this, have an id of their own; whoever else writes
        -- it gives nobody a turn in a request that is there.)
        if not new.metadata ? 'checkout' or new.metadata -> 'checkout' ? 'preferred_mechanic_ids' then
            if exists (select from public.session_requests as r where r.id = new.id) then
                return new;
            end if;
            -- Nobody has a turn in it who had one in another of this id, which is gone.
            perform dispatch.remove_steps(new.id);
        else
            v_is_new := true;
        end if;
        v_wish := coalesce(new.metadata -> 'checkout', new.metadata);
        new.metadata := case jsonb_typeof(new.metadata)
            when 'object' then new.metadata - array[
                'checkout', 'routing_type', 'preferred_mechanic_id', 'preferred_mechanic_ids',
                'priority_window_minutes', 'skip_if_offline', 'routing'
            ]
            else '{}'
        end;
    elsif exists (select from public.session_requests as r where r.id = new.id) then
        return new;
    elsif dispatch.taken_off() <> 'false' then
        -- Taken off from the beginning: imported as well.
        v_request := dispatch.as_request(new);
        if not v_request.is_pending then
            return new;
        end if;
    end if;

    -- With the flag on the columns of the window are there.
    if dispatch.favorites_priority_enabled() then
        v_is_wanted := new.preferred_mechanic_id is not null;
        v_minutes := coalesce(
            new.priority_window_minutes::text, v_wish ->> 'priority_window_minutes', '10'
        );
        if v_is_wanted then
            v_wanted_ids := array[new.preferred_mechanic_id];
            if not dispatch.governs_all() then
                -- Theirs has one column: who comes after stands where dispatch.book_theirs put it.
                v_wanted_ids := v_wanted_ids || dispatch.remove_steps(new.id);
            end if;
        elsif v_wish ->> 'routing_type' = 'priority_broadcast' then
            v_is_wanted := true;
            if v_wish ? 'preferred_mechanic_ids' then
                v_wanted_ids := dispatch.wished_mechanics(v_wish);
            else
                begin  -- as dispatch.wished_mechanics, without the price of a call in every booking
                    v_wanted_ids := array[(v_wish ->> 'preferred_mechanic_id')::uuid];
                exception
                    -- Unknown, as an id that is nobody's.
                    when invalid_text_representation then v_wanted_ids := array[null::uuid];
                end;
            end if;
        end if;
    end if;

    if v_is_wanted then
        -- Sixty minutes in all.
        if v_minutes <> '10' then
            if
                v_minutes ~ '^([1-9]|[1-5][0-9]|60)$'
                and v_minutes::integer * least(cardinality(v_wanted_ids), 3) <= 60
            then
                v_window_minutes := v_minutes::integer;
            else
                v_reason := 'invalid_window';
            end if;
        end if;

        foreach v_wanted_id in array v_wanted_ids loop
            v_number := v_number + 1;
            -- Locked, so that a suspension or deletion under way is waited for, and a later one sees
            -- this request and announces it.
            select m.user_id, m.is_approved into v_mechanic
            from dispatch.mechanics as m
            where m.id = v_wanted_id
            for share;
            v_skip := case
                when v_number > 3 then 'too_many'
                -- Deleted and put back, it was declined or given back all the same; they could not
                -- take it, and nobody else in their window. (As of a block, nobody is told of it.)
                when
                    not v_is_new
                    and exists (
                        select from dispatch.exclusions as x
                        where x.request_id = new.id and x.user_id = v_mechanic.user_id
                    ) then 'not_approved'
                -- Almost always, and then without the price of a call.
                when
                    v_mechanic.is_approved and v_mechanic.user_id <> new.customer_id
                    and pg_relation_size('dispatch.blocks') = 0
                    and dispatch.max_open_sessions() is null then null
                else
                    dispatch.why_not_asked(
                        v_wanted_id, v_mechanic.user_id, v_mechanic.is_approved,
                        new.customer_id
                    )
            end;
            if
                v_skip is null
                and (
                    v_wish ->> 'skip_if_offline' = 'true'
                    -- Theirs has no metadata that it would stand in.
                    or (
                        not dispatch.governs_all()
                        and dispatch.routing_note(new.id) = 'skip_if_offline'
                    )
                )
            then
                -- Whose phone can ring is reached; nobody's can where Web Push is not in use.
                select
                    case
                        when
                            dispatch.is_online(m, now())
                            or exists (
                                select from dispatch.devices as d where d.user_id = m.user_id
                            ) then null
                        when exists (select from dispatch.devices) then 'unreachable'
                        else 'offline'
                    end into v_skip
                from dispatch.mechanics as m
                where m.id = v_wanted_id;
            end if;
            if v_skip is not null then
                v_skipped := coalesce(v_skipped, '[]')
                    || jsonb_build_object('mechanic_id', v_wanted_id, 'reason', v_skip);
            elsif v_granted_id is null then
                v_granted_id := v_wanted_id;
            else
                -- By another upsert of the same at once, which is waited for, they are there.
                insert into dispatch.steps (request_id, turn, mechanic_id, window_minutes)
                values (new.id, v_number, v_wanted_id, v_window_minutes)
                on conflict (request_id, turn) do nothing;
            end if;
        end loop;

        if v_granted_id is not null then
            -- Nobody else's until it is accepted.
            new.mechanic_id := null;
            new.preferred_mechanic_id := v_granted_id;
            new.priority_window_minutes := v_window_minutes;
            -- A backend may say that it told the mechanic earlier, never that it will; a window
            -- that was over before the booking is over with it.
            new.priority_notified_at := case
                when new.priority_notified_at < now()
                    then greatest(
                        new.priority_notified_at,
                        now() - make_interval(mins => new.priority_window_minutes)
                    )
                else now()
            end;
            if dispatch.governs_all() then
                new.notification_sent_at := null;
                if v_reason is null and v_skipped is null then
                    return new;  -- as most bookings that name a favourite
                end if;
            else
                -- It lives as long after the window as it would have from now on.
                v_request := dispatch.as_request(new);
                if v_request.expires_at between '2000-01-01' and '9999-12-31' then
                    new.expires_at := new.expires_at + (v_request.window_ends_at - now());
                end if;
                -- The last word of it, whatever was noted before.
                if dispatch.routing_note(new.id) is not null then
                    perform dispatch.note_routing(new.id, 'granted');
                end if;
                if v_reason is not null then
                    perform dispatch.note_routing(new.id, v_reason);
                end if;
            end if;
        end if;
        if dispatch.governs_all() then
            -- For dispatch.log_new_request.
            new.metadata := new.metadata || jsonb_strip_nulls(
                jsonb_build_object(
                    'routing', jsonb_build_object('reason', v_reason, 'skipped', v_skipped)
                )
            );
        elsif v_skipped is not null then
            -- Not by the trigger after the insert, which only a window makes run: that it looked for
            -- such a wish would cost every booking of theirs.
            perform dispatch.log_skipped(dispatch.as_request(new), v_skipped);
            -- Columns that were theirs before keep the wish, and it is none any more.
            if v_granted_id is null then
                perform dispatch.note_routing(new.id, 'skipped');
            end if;
        end if;
        if v_granted_id is not null then
            return new;
        end if;
    end if;

    -- No window: not asked for, not to be had, or the flag is off. A column that was theirs before
    -- the feature keeps what they wrote.
    if not dispatch.governs_all() then
        v_theirs := array(select b.what from dispatch.found_before as b);
        if 'preferred_mechanic_id' <> all(v_theirs) then
            new.preferred_mechanic_id := null;
        end if;
        if 'priority_window_minutes' <> all(v_theirs) then
            new.priority_window_minutes := null;
        end if;
        if 'priority_notified_at' <> all(v_theirs) then
            new.priority_notified_at := null;
        end if;
    elsif v_is_wanted is not null then
        new.preferred_mechanic_id := null;
        new.priority_window_minutes := null;
        new.priority_notified_at := null;
    -- The columns are named only where they must be there.
    else
        v_request := dispatch.as_request(new);
        if v_request.preferred_mechanic_id is not null then
            new.preferred_mechanic_id := null;
        end if;
        if v_request.window_minutes is not null then
            new.priority_window_minutes := null;
        end if;
        if v_request.window_began_at is not null then
            new.priority_notified_at := null;
        end if;
    end if;
    if dispatch.governs_all() then
        new.notification_sent_at := now();
        new.expires_at := coalesce(new.expires_at, now() + interval '24 hours');
    end if;
    return new;
end;
$$;

comment on function dispatch.route_request() is
'Trigger: decides, once and for every writer, where a new pending request goes.';
revoke all on function dispatch.route_request() from public, anon, authenticated, service_role;
