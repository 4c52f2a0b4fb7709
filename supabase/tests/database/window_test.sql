-- The main rule: in its window a request is the favourite's alone, then everyone's.
begin;
select plan(26);

select dispatch.set_favorites_priority(true);
insert into auth.users (id)
select ('00000000-0000-4000-8000-00000000000' || n)::uuid from generate_series(1, 4) as n;
-- (A trigger of the project's own may make a profile of each new user.)
insert into public.mechanics (id, display_name, status, is_online)
values
('00000000-0000-4000-8000-000000000002', 'Favourite', 'approved', true),
('00000000-0000-4000-8000-000000000003', 'Other', 'approved', true),
('00000000-0000-4000-8000-000000000004', 'Applicant', 'pending', true)
on conflict (id) do update
    set display_name = excluded.display_name, status = excluded.status, is_online = true;

-- Of this test, and not of the marketplace that it is run on.
create function pg_temp.is_ours(p_id uuid) returns boolean
language sql as $$ select p_id::text like '00000000-0000-4000-8000-%' $$;

-- Become a signed-in user, as PostgREST does.
create function pg_temp.act_as(p_user integer) returns void
language plpgsql as $$
begin
    perform set_config('role', 'authenticated', true);
    perform set_config(
        'request.jwt.claims',
        json_build_object(
            'role', 'authenticated', 'sub', '00000000-0000-4000-8000-00000000000' || p_user
        )::text,
        true
    );
end;
$$;

-- Routing, once, at insert.
insert into public.session_requests (id, customer_id, session_type, preferred_mechanic_id)
values
(
    '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', 'chat',
    '00000000-0000-4000-8000-000000000002'
),
(
    '00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000001', 'chat',
    '00000000-0000-4000-8000-000000000004'
),
(
    '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000001', 'chat', null
);
select results_eq(
    $$
        select right(id::text, 1), priority_window_minutes, notification_sent_at is not null
        from public.session_requests where pg_temp.is_ours(id) order by id
    $$,
    $$ values ('a', 10, false), ('b', null, true), ('c', null, true) $$,
    'a favourite gets ten minutes; one who is not approved, or none, is a broadcast'
);
select results_eq(
    $$
        select right(request_id::text, 1), event, payload ->> 'reason'
        from dispatch.request_events where pg_temp.is_ours(request_id) order by id
    $$,
    $$
        values
        ('a', 'priority_request', null),
        ('b', 'priority_skipped', 'not_approved'),
        ('b', 'new_request', null),
        ('c', 'new_request', null)
    $$,
    'the event log says where each went, and why'
);
select is(
    (
        select topics from dispatch.request_events
        where event = 'priority_request' and pg_temp.is_ours(request_id)
    ),
    array[
        'customer:00000000-0000-4000-8000-000000000001',
        'mechanic:00000000-0000-4000-8000-000000000002'
    ],
    'only the favourite and the customer are told'
);

-- The boundary, to the microsecond.
prepare recipients (interval) as
select right(c.mechanic_id::text, 1)
from public.session_requests as r
cross join
    dispatch.choose_recipients(
        r.id, null, r.priority_notified_at + interval '10 minutes' + $1
    ) as c
where
    r.priority_window_minutes is not null and pg_temp.is_ours(r.id)
    and pg_temp.is_ours(c.mechanic_id)
order by 1;
select results_eq('execute recipients(''-10 minutes'')', array['2'], 'at its start: one');
select results_eq(
    'execute recipients(''-1 microsecond'')', array['2'], 'a microsecond before its end: one'
);
select results_eq('execute recipients(''0'')', array['2', '3'], 'at its end: every approved one');
select results_eq('execute recipients(''1 day'')', array['2', '3'], 'a day later: the same');

-- What each sees and may do.
select pg_temp.act_as(3);
select results_eq(
    $$
        select right(id::text, 1)
        from public.session_requests where pg_temp.is_ours(id) order by id
    $$,
    array['b', 'c'],
    'row level security hides a reserved request from another mechanic'
);
select results_eq(
    $$
        select right(request_id::text, 1)
        from public.list_open_session_requests() where pg_temp.is_ours(request_id) order by 1
    $$,
    array['b', 'c'],
    'and so does the list'
);
select throws_ok(
    $$ select public.accept_session_request('00000000-0000-4000-8000-00000000000a') $$,
    'PT404', 'Request not found', 'and it cannot be accepted'
);
select throws_ok(
    $$ select public.decline_session_request('00000000-0000-4000-8000-00000000000a') $$,
    'PT404', 'Request not found', 'nor declined'
);
select throws_ok(
    $$ update public.session_requests set mechanic_id = auth.uid() $$,
    '42501', null, 'nobody updates the table directly'
);
select throws_ok(
    $$ select customer_name from public.session_requests $$,
    '42501', null, 'nobody reads names before the accept'
);
select pg_temp.act_as(4);
select is_empty('select id from public.session_requests', 'an applicant sees nothing');
select throws_ok(
    $$ select public.accept_session_request('00000000-0000-4000-8000-00000000000c') $$,
    'PT403', 'Not an approved mechanic', 'and accepts nothing'
);
select pg_temp.act_as(1);
select results_eq(
    'select right(id::text, 1) from public.session_requests order by 1', array['a', 'b', 'c'],
    'the customer sees all of their own'
);
select pg_temp.act_as(2);
select results_eq(
    $$
        select right(request_id::text, 1), is_priority
        from public.list_open_session_requests() limit 1
    $$,
    $$ values ('a', true) $$,
    'the favourite finds it first in the list'
);

-- The guard at the table holds for every writer.
reset role;
select throws_ok(
    $$
        update public.session_requests
        set status = 'accepted', mechanic_id = '00000000-0000-4000-8000-000000000003'
        where id = '00000000-0000-4000-8000-00000000000a'
    $$,
    'PT404', 'Request not found', 'the owner cannot hand a reserved request to another'
);
select throws_ok(
    $$
        update public.session_requests
        set preferred_mechanic_id = '00000000-0000-4000-8000-000000000003'
        where id = '00000000-0000-4000-8000-00000000000a'
    $$,
    'PT403', 'Not your request', 'nor the reservation itself'
);
select throws_ok(
    $$
        update public.session_requests set status = 'completed'
        where id = '00000000-0000-4000-8000-00000000000c'
    $$,
    'PT409', null, 'nor complete what nobody accepted'
);

-- After the window, whether or not a sweep has run.
update public.session_requests set priority_notified_at = now() - interval '10 minutes'
where id = '00000000-0000-4000-8000-00000000000a';
select pg_temp.act_as(3);
select is(
    (public.accept_session_request('00000000-0000-4000-8000-00000000000a')).status::text,
    'accepted', 'after the end another mechanic may accept, though no sweep has run'
);
select pg_temp.act_as(2);
select throws_ok(
    $$ select public.accept_session_request('00000000-0000-4000-8000-00000000000a') $$,
    'PT409', 'Another mechanic has taken this request', 'and the favourite comes too late'
);
reset role;
select is(
    (
        select array_agg(event order by id) from dispatch.request_events
        where request_id = '00000000-0000-4000-8000-00000000000a'
    ),
    array['priority_request', 'request_accepted'], 'the log tells it in two lines'
);

-- The flag.
select ok(not dispatch.set_favorites_priority(false), 'the flag goes off');
insert into public.session_requests (id, customer_id, session_type, preferred_mechanic_id)
values (
    '00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-000000000001', 'chat',
    '00000000-0000-4000-8000-000000000002'
);
select results_eq(
    $$
        select preferred_mechanic_id, priority_window_minutes, priority_notified_at
        from public.session_requests where id = '00000000-0000-4000-8000-00000000000d'
    $$,
    $$ values (null::uuid, null::integer, null::timestamptz) $$,
    'off: none of the three values is stored'
);
select pg_temp.act_as(1);
select throws_ok(
    $$ select public.get_mechanic_status('00000000-0000-4000-8000-000000000002') $$,
    'PT404', 'Feature not enabled', 'off: there is no such feature'
);

reset role;
select * from finish();
rollback;
