-- On a marketplace of ours, whose states these are. Another's has dispatch.guard_reservation.
create or replace function dispatch.guard_request()
returns trigger
language plpgsql
volatile
-- definer: the writer may be service_role, which has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_accept boolean := old.status = 'pending' and new.status = 'accepted';
    v_old dispatch.requests;
    v_new dispatch.requests;
    v_is_out boolean;
    v_is_told boolean;
    v_is_moved boolean;
    v_refusal text;
    v_window record;
begin
    if dispatch.max_open_sessions() is not null then
        if (new.status, new.mechanic_id) is distinct from (old.status, old.mechanic_id) then
            if new.status = 'accepted' then
                perform dispatch.lock_sessions(new.mechanic_id);
            end if;
            perform dispatch.follow_capacity(old.id, array[old.mechanic_id, new.mechanic_id]);
        end if;
    end if;
    -- By its id it is known whose turn comes next, and who gave it back.
    if new.id <> old.id then
        perform dispatch.raise_error('request_not_pending');
    end if;
    -- What was paid stays with it, and that it was paid back for as long as the ledger says so: a writer
    -- that puts back what it read before, or metadata of its own, takes neither away.
    if
        old.metadata ->> 'stripe_checkout_session_id' is not null
        and new.metadata is distinct from old.metadata
    then
        new.metadata := dispatch.keep_payment(old.metadata, new.metadata);
    end if;
    if v_is_accept then
        if new.mechanic_id is null then
            perform dispatch.raise_error('request_not_pending');
        end if;
        new.accepted_at := now();
        new.updated_at := new.accepted_at;
    elsif new.status <> old.status then
        -- From whoever gave it back or did not come, as dispatch.put_back has logged: a writer that puts
        -- back what it read before takes it from nobody. It is broadcast anew, and lives as long as a
        -- new one; the window that it had, if any, stays told.
        if old.status = 'accepted' and new.status = 'pending' then
            if exists (
                select from dispatch.exclusions as x
                where
                    x.request_id = old.id
                    and x.user_id = coalesce(old.mechanic_id, old.customer_id)
            ) then
                new.mechanic_id := null;
                new.accepted_at := null;
                new.notification_sent_at := now();
                new.expires_at := now() + interval '24 hours';
                new.updated_at := now();
                return new;
            end if;
        end if;
        if
            (old.status, new.status) not in (
                ('pending', 'cancelled'), ('pending', 'expired'),
                ('accepted', 'completed'), ('accepted', 'cancelled')
            )
        then
            perform dispatch.raise_error('request_not_pending');
        end if;
        new.updated_at := now();
    end if;

    -- One that was broadcast has no window, and nothing to read of it.
    if old.notification_sent_at is null then
        v_old := dispatch.as_request(old);
        -- Whose turn it is by the clock, told or not.
        if
            old.status = 'pending' and v_old.window_ends_at <= now()
            and (new.status <> 'pending' or new.notification_sent_at is null)
        then
            if exists (select from dispatch.steps as s where s.request_id = old.id) then
                v_old := dispatch.take_steps(v_old, now(), false);
                -- (The foreign key sets null.)
                if
                    coalesce(new.preferred_mechanic_id, old.preferred_mechanic_id)
                    = old.preferred_mechanic_id
                then
                    new.preferred_mechanic_id := v_old.preferred_mechanic_id;
                    new.priority_window_minutes := v_old.window_minutes;
                    new.priority_notified_at := v_old.window_began_at;
                end if;
            end if;
        end if;
    end if;

    -- A job goes only to an approved mechanic to whom it is open.
    if
        v_is_accept
        or (new.mechanic_id is not null and new.mechanic_id is distinct from old.mechanic_id)
    then
        -- As dispatch.approved_mechanic_of, without the price of a call in every accept. (A deletion
        -- under way is waited for by the foreign key.) So dispatch.exclusions, whose lock and
        -- privileges each execution would ask for.
        select
            exists (
                select from dispatch.request_events as e
                where
                    e.request_id = old.id
                    and split_part(e.topics[cardinality(e.topics)], ':', 2)::uuid = new.mechanic_id
                    and e.event in ('request_declined', 'request_released')
            ) into v_is_out
        from dispatch.mechanics as m
        where m.user_id = new.mechanic_id and m.is_approved;
        if not found then
            perform dispatch.raise_error('not_a_mechanic');
        end if;
        if pg_relation_size('dispatch.blocks') > 0 then
            if dispatch.is_blocked(new.mechanic_id, new.customer_id) then
                perform dispatch.raise_error('request_not_found');
            end if;
        end if;
        -- No window keeps out whom it is for.
        if
            old.notification_sent_at is null
            and (
                new.mechanic_id = v_old.preferred_user_id and v_old.window_ends_at > now()
            ) is not true
        then
            v_old.customer_id := new.customer_id;
            v_refusal := dispatch.refusal(v_old, new.mechanic_id, new.mechanic_id);
        else
            v_refusal := coalesce(
                dispatch.broadcast_refusal(
                    new.customer_id, old.status::text, old.expires_at, new.mechanic_id,
                    v_is_out, now()
                ),
                case
                    when
                        dispatch.max_open_sessions() is not null
                        and dispatch.is_at_capacity(new.mechanic_id, new.mechanic_id, old.id)
                        then 'at_capacity'
                end
            );
        end if;
        if v_refusal is not null then
            perform dispatch.raise_error(v_refusal);
        end if;
    -- Nor is it taken from whoever has it. (The foreign key sets null.)
    elsif
        new.mechanic_id is null and old.mechanic_id is not null
        and new.status in ('accepted', 'completed')
    then
        if exists (select from auth.users as u where u.id = old.mechanic_id) then
            perform dispatch.raise_error('request_taken');
        end if;
    end if;

    -- What was broadcast stays so, and ends when it would have: a writer that puts back what it read
    -- before does not reserve it again, nor for another. The window that it had, if any, stays told.
    if old.notification_sent_at is not null then
        new.notification_sent_at := case
            when isfinite(new.notification_sent_at)
                then least(new.notification_sent_at, old.notification_sent_at)
            else old.notification_sent_at
        end;
        new.expires_at := coalesce(new.expires_at, old.expires_at);
        -- (Not for an accept, which would pay for it.)
        if not v_is_accept then
            v_is_told := new.status = 'pending' or new.status = old.status;
        end if;
    elsif new.status <> 'pending' then
        -- What ends inside its window was never open to the others, and stays hidden from them.
        v_is_told := v_old.window_began_at is not null;
        if v_is_told then
            new.notification_sent_at := null;
        end if;
    elsif old.status = 'pending' then
        if new.notification_sent_at is null then
            v_new := dispatch.as_request(new);
            v_window := dispatch.priority_window(v_old);
            if
                v_new.window_ends_at is not null
                and dispatch.favorites_priority_enabled()
                and dispatch.is_approved_mechanic(v_new.preferred_mechanic_id)
                and dispatch.why_not_asked(
                    v_new.preferred_mechanic_id, v_new.preferred_user_id, true, v_new.customer_id
                ) is null
            then
                if v_window.mechanic_id <> v_new.preferred_mechanic_id then
                    -- The reservation itself is not handed on either: the new one was never told.
                    perform dispatch.raise_error('not_yours');
                end if;
                -- Nor is it made longer, nor one opened where there was none.
                if v_new.window_ends_at > coalesce(v_window.ends_at, '-infinity') then
                    perform dispatch.raise_error('invalid_window');
                end if;
            -- The window is gone: its mechanic was deleted (the foreign key sets null), suspended, or
            -- is at capacity, the flag is off, or a writer cleared a column, or gave it to a customer
            -- of whom that mechanic is not asked. It is open to everyone now, and so announced.
            elsif v_old.window_began_at is not null then
                new.notification_sent_at := now();
            end if;
            -- At no time it begins neither.
            if not isfinite(v_new.window_began_at) then
                perform dispatch.raise_error('invalid_window');
            end if;
        end if;
        if new.notification_sent_at is not null then
            -- At a time that no clock shows, it would be over at once or never. (A sum with days
            -- asks the time zone, for each window of a sweep.)
            if
                (
                    new.notification_sent_at
                    between coalesce(v_old.window_began_at, old.created_at)
                    and now() + interval '168 hours'
                ) is not true
            then
                new.notification_sent_at := now();
            end if;
            -- It is the next favourite's before it is everyone's.
            if exists (select from dispatch.steps as s where s.request_id = old.id) then
                v_new := dispatch.take_steps(v_old, new.notification_sent_at, true);
                new.notification_sent_at := v_new.announced_at;
                if v_new.preferred_mechanic_id <> v_old.preferred_mechanic_id then
                    v_old := v_new;
                    new.preferred_mechanic_id := v_old.preferred_mechanic_id;
                    new.priority_window_minutes := v_old.window_minutes;
                    new.priority_notified_at := v_old.window_began_at;
                end if;
            end if;
            new.expires_at := coalesce(
                new.expires_at, new.notification_sent_at + interval '24 hours'
            );
            new.updated_at := now();
            v_is_told := v_old.window_began_at is not null;
        end if;
    end if;
    if v_is_told then
        if old.notification_sent_at is not null then
            v_old := dispatch.as_request(old);
        end if;
        -- The columns are named only where they must be there: where one was filled, or they change.
        -- (Not as dispatch.as_request has all of the row, for which each favourite's accept would pay.)
        if v_old.window_began_at is not null then
            v_is_moved
            := (new.preferred_mechanic_id, new.priority_window_minutes, new.priority_notified_at)
            is distinct from
            (v_old.preferred_mechanic_id, v_old.window_minutes, v_old.window_began_at);
        else
            v_new := dispatch.as_request(new);
            v_is_moved
            := (v_new.preferred_mechanic_id, v_new.window_minutes, v_new.window_began_at)
            is distinct from
            (v_old.preferred_mechanic_id, v_old.window_minutes, v_old.window_began_at);
        end if;
        if v_is_moved then
            -- The foreign key sets null.
            if
                exists (
                    select from dispatch.mechanics as m where m.id = v_old.preferred_mechanic_id
                )
            then
                new.preferred_mechanic_id := old.preferred_mechanic_id;
            elsif new.preferred_mechanic_id is not null then
                new.preferred_mechanic_id := null;
            end if;
            new.priority_window_minutes := old.priority_window_minutes;
            new.priority_notified_at := old.priority_notified_at;
        end if;
    end if;
    return new;
end;
$$;

comment on function dispatch.guard_request() is
'Trigger: allows only the state changes there are, and an accept only by who may.';
revoke all on function dispatch.guard_request() from public, anon, authenticated, service_role;
