-- The same job with each peer: what its users write, in one function, and so one round trip. What a
-- booking is there: the request's bare row, and a job for when the window is over. An accept
-- updates the row and takes the job back.
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

create function bench.book(p_peer text, p_request_id uuid, p_at timestamptz) returns void
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
        bench.user_id(1 + (random() * 999)::bigint), 10, now()
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
