-- Row level security is on for all that is ours, and each role may call what it is meant to. What
-- else a project has, tables and policies, is none of this test's.
begin;
select plan(38);

select ok(relrowsecurity, oid::regclass || ' has row level security')
from pg_class
where
    relkind = 'r'
    and (
        relnamespace = 'dispatch'::regnamespace
        or oid in (
            'public.session_requests'::regclass, 'public.service_plans'::regclass,
            'public.mechanics'::regclass, 'public.customer_favorites'::regclass
        )
    )
order by relname;

select policies_are('public', 'session_requests', array['session_requests_select']);
select policies_are('public', 'service_plans', array['service_plans_select']);
select policies_are(
    'public', 'mechanics', array['mechanics_select', 'mechanics_insert', 'mechanics_update']
);
select policies_are(
    'public', 'customer_favorites',
    array[
        'customer_favorites_select', 'customer_favorites_insert', 'customer_favorites_delete'
    ]
);
select set_has(
    $$ select polname from pg_policy where polrelid = 'realtime.messages'::regclass $$,
    $$
        select unnest(
            '{dispatch_topics_join, dispatch_topics_send, dispatch_topics_only,
            dispatch_topics_not_anon}'::name[]
        )
    $$,
    'realtime.messages has the policies of our topics'
);
select policies_are('dispatch', t, array[t || '_nobody'], 'nobody reads dispatch.' || t)
from unnest(array['request_events', 'stripe_events']) as t;

select
    function_privs_are(
        'public', f, a, 'authenticated', array['EXECUTE'], 'a signed-in user may call ' || f
    )
from (
    values
    ('accept_session_request', array['uuid']),
    ('cancel_session_request', array['uuid']),
    ('decline_session_request', array['uuid', 'text']),
    ('set_presence', array['text']),
    ('list_session_request_events', array['bigint', 'integer'])
) as rpcs (f, a);
select
    function_privs_are(
        'public', f, array['uuid'], 'anon', array[]::text[], 'anon may not call ' || f
    )
from unnest(array['accept_session_request', 'cancel_session_request']) as f;
select
    function_privs_are(
        'public', 'process_stripe_event', array['jsonb'], r, p,
        r || ' and process_stripe_event: ' || coalesce(p[1], 'no')
    )
from (
    values
    ('anon', array[]::text[]), ('authenticated', array[]::text[]),
    ('service_role', array['EXECUTE'])
) as roles (r, p);
select
    function_privs_are(
        'dispatch', 'set_favorites_priority', array['boolean'], r, array[]::text[],
        r || ' may not turn the flag'
    )
from unnest(array['anon', 'authenticated', 'service_role']) as r;
select
    is(
        has_table_privilege(r, 'dispatch.request_events', 'select'), false,
        r || ' may not read the event log'
    )
from unnest(array['anon', 'authenticated', 'service_role']) as r;
select is(
    has_column_privilege('authenticated', 'public.session_requests', 'customer_email', 'select'),
    false, 'a client reads no e-mail address from the table'
);

select * from finish();
rollback;
