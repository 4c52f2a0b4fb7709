-- With each peer: what its users write, in one function, and so one transaction and one round trip.
-- First the bare job: a booking is the request's row and a job for when the window is over; an
-- accept updates the row and takes the job back. Then, from bench.stripe_events on, the same work
-- as ours.
-- All who have an account, so that nobody is the favourite of more than a few at once. (User 1,001
-- is the customer of what there is to accept.)
insert into public.mechanics (id, display_name, status)
select u.id, 'Mechanic', 'approved'
from auth.users as u
on conflict do nothing;
create function bench.favourite(p_n bigint) returns uuid
language sql immutable
as $$ select bench.user_id(1002 + p_n % 9999) $$;

create sequence bench.procrastinate_turn;
create sequence bench.pgqueuer_turn;
create sequence bench.graphile_turn;

create function bench.defer(p_peer text, p_request_id uuid, p_at timestamptz) returns void
language plpgsql
as $$
begin
    if p_peer = 'procrastinate' then
        perform procrastinate_defer_jobs_v1(array[row(
            'fallback', 'fallback', 0, null, p_request_id::text,
            jsonb_build_object('request_id', p_request_id), p_at
        )::procrastinate_job_to_defer_v1]);
    elsif p_peer = 'pgqueuer' then
        perform bench.pgqueuer_enqueue(
            '{0}', '{fallback}', array[convert_to(p_request_id::text, 'UTF8')],
            array[p_at - now()], array[p_request_id::text], array[null::jsonb]
        );
    else
        perform graphile_worker.add_job(
            'fallback', json_build_object('request_id', p_request_id),
            run_at => p_at, job_key => p_request_id::text
        );
    end if;
end;
$$;

create function bench.take_back(p_peer text, p_request_id uuid) returns void
language plpgsql
as $$
begin
    if p_peer = 'procrastinate' then
        perform procrastinate_cancel_job_v1(j.id, false, false)
        from procrastinate_jobs as j
        where j.queueing_lock = p_request_id::text and j.status = 'todo';
    elsif p_peer = 'pgqueuer' then
        perform bench.pgqueuer_finish(array_agg(q.id), '{canceled}', array[null::jsonb])
        from pgqueuer as q
        where q.dedupe_key = p_request_id::text and q.status in ('queued', 'picked');
    else
        perform graphile_worker.remove_job(p_request_id::text);
    end if;
end;
$$;

create function bench.book(
    p_peer text,
    p_request_id uuid,
    p_at timestamptz,
    p_preferred uuid default bench.user_id(1 + (random() * 999)::bigint)
)
returns void
language plpgsql
as $$
begin
    insert into bench.session_requests (
        id, customer_id, session_type, plan_code, status, customer_name, customer_email, metadata,
        preferred_mechanic_id, priority_window_minutes, priority_notified_at
    )
    values (
        p_request_id, bench.user_id(1001 + (random() * 9999)::bigint), 'chat', 'quick-chat',
        'pending', 'Ada', 'ada@example.com',
        jsonb_build_object(
            'stripe_checkout_session_id', 'cs_' || p_request_id,
            'stripe_payment_intent', 'pi_' || p_request_id
        ),
        -- Each has an end of its own, as in life.
        p_preferred, 10, clock_timestamp()
    )
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing;
    perform bench.defer(p_peer, p_request_id, p_at);
end;
$$;

create function bench.accept(p_peer text, p_request_id uuid) returns void
language plpgsql
as $$
begin
    update bench.session_requests
    set
        status = 'accepted', mechanic_id = bench.user_id(1), accepted_at = now(),
        updated_at = now()
    where id = p_request_id and status = 'pending';
    perform bench.take_back(p_peer, p_request_id);
end;
$$;

-- What a peer's handler does for each due job: the broadcast, and one notice of it.
create function bench.announce(p_request_id uuid) returns void
language plpgsql
as $$
begin
    update bench.session_requests
    set notification_sent_at = now(), updated_at = now()
    where id = p_request_id and status = 'pending' and notification_sent_at is null;
    if found then
        perform pg_notify('session_requests_feed', p_request_id::text);
    end if;
end;
$$;

-- The same work: Stripe's event is kept, and booked once; each transition has its row in a log; two
-- topics are told of it; and an accept asks whose turn it is.
create table bench.stripe_events (like dispatch.stripe_events including all);
create table bench.request_events (like dispatch.request_events including all);

create function bench.record(p_request bench.session_requests, p_event text, p_topics text[])
returns void
language plpgsql
as $$
declare
    v_notice text;
begin
    -- The notices leave with this transaction, so that none is left to be delivered.
    insert into bench.request_events as e (request_id, event, topics, payload, delivered_at)
    values (
        p_request.id, p_event, p_topics,
        jsonb_build_object(
            'event', p_event,
            'request_id', p_request.id,
            'window_minutes', p_request.priority_window_minutes,
            'session_type', p_request.session_type,
            'plan_code', p_request.plan_code,
            'created_at', p_request.created_at
        ),
        now()
    )
    returning e.payload || jsonb_build_object('event_id', e.id) into v_notice;
    perform pg_notify(t.topic, v_notice) from unnest(p_topics) as t (topic);
end;
$$;

create function bench.book_paid(p_peer text, p_event jsonb) returns void
language plpgsql
as $$
declare
    v_object jsonb := p_event #> '{data,object}';
    v_metadata jsonb := v_object -> 'metadata';
    v_request_id uuid := gen_random_uuid();
    v_request bench.session_requests;
begin
    insert into bench.stripe_events (id, type, payload, processed_at, outcome, request_id)
    values (
        p_event ->> 'id', p_event ->> 'type', p_event, now(), 'request_created', v_request_id
    )
    on conflict (id) do nothing;
    if not found then
        return;
    end if;
    insert into bench.session_requests (
        id, customer_id, session_type, plan_code, status, customer_name, customer_email, metadata,
        preferred_mechanic_id, priority_window_minutes, priority_notified_at
    )
    values (
        v_request_id, (v_metadata ->> 'customer_id')::uuid,
        (v_metadata ->> 'session_type')::public.session_type, v_metadata ->> 'plan_code', 'pending',
        v_object #>> '{customer_details,name}', v_object #>> '{customer_details,email}',
        jsonb_build_object(
            'stripe_checkout_session_id', v_object -> 'id',
            'stripe_payment_intent', v_object -> 'payment_intent'
        ),
        (v_metadata ->> 'preferred_mechanic_id')::uuid,
        (v_metadata ->> 'priority_window_minutes')::integer, now()
    )
    on conflict ((metadata ->> 'stripe_checkout_session_id'))
    where (metadata ->> 'stripe_checkout_session_id') is not null
    do nothing
    returning * into v_request;
    if v_request.id is null then
        return;
    end if;
    perform bench.record(
        v_request, 'priority_request',
        array['customer:' || v_request.customer_id, 'mechanic:' || v_request.preferred_mechanic_id]
    );
    perform bench.defer(
        p_peer, v_request.id, now() + make_interval(mins => v_request.priority_window_minutes)
    );
end;
$$;

create function bench.accept_in_turn(p_peer text, p_request_id uuid, p_mechanic_id uuid)
returns void
language plpgsql
as $$
declare
    v_request bench.session_requests;
begin
    update bench.session_requests
    set
        status = 'accepted', mechanic_id = p_mechanic_id, accepted_at = now(),
        updated_at = now()
    where
        id = p_request_id and status = 'pending'
        and (
            preferred_mechanic_id = p_mechanic_id
            or preferred_mechanic_id is null
            or priority_notified_at + make_interval(mins => priority_window_minutes) <= now()
        )
    returning * into v_request;
    if v_request.id is null then
        raise exception 'request_not_pending';
    end if;
    perform bench.record(
        v_request, 'request_accepted',
        array['customer:' || v_request.customer_id, 'mechanic:' || p_mechanic_id]
    );
    perform bench.take_back(p_peer, p_request_id);
end;
$$;

create function bench.announce_and_record(p_request_id uuid) returns void
language plpgsql
as $$
declare
    v_request bench.session_requests;
begin
    update bench.session_requests
    set notification_sent_at = now(), updated_at = now()
    where id = p_request_id and status = 'pending' and notification_sent_at is null
    returning * into v_request;
    if v_request.id is not null then
        perform bench.record(
            v_request, 'new_request',
            array['customer:' || v_request.customer_id, 'session_requests_feed']
        );
    end if;
end;
$$;
