-- The tables, enums, keys and indexes that clients and DBAs rely on.
begin;
select plan(54);

select has_schema('dispatch');
select has_table('public', t, t || ' is there')
from unnest(array['mechanics', 'customer_favorites', 'service_plans', 'session_requests']) as t;
select has_table('dispatch', t, 'dispatch.' || t || ' is there')
from unnest(array['request_events', 'stripe_events']) as t;
select has_view('dispatch', 'metrics', 'dispatch.metrics is there');

select enum_has_labels('public', 'session_type', array['diagnostic', 'chat', 'video']);
select enum_has_labels(
    'public', 'session_request_status',
    array['pending', 'accepted', 'cancelled', 'expired', 'completed']
);

select col_type_is('public', 'session_requests', c, t, 'session_requests.' || c || ' is ' || t)
from (
    values
    ('id', 'uuid'),
    ('customer_id', 'uuid'),
    ('mechanic_id', 'uuid'),
    ('session_type', 'session_type'),
    ('status', 'session_request_status'),
    ('metadata', 'jsonb'),
    ('accepted_at', 'timestamp with time zone'),
    ('notification_sent_at', 'timestamp with time zone'),
    ('expires_at', 'timestamp with time zone'),
    ('is_urgent', 'boolean'),
    ('extracted_keywords', 'text[]'),
    ('preferred_workshop_id', 'uuid'),
    ('preferred_mechanic_id', 'uuid'),
    ('priority_window_minutes', 'integer'),
    ('priority_notified_at', 'timestamp with time zone')
) as columns (c, t);
select col_is_null('public', 'session_requests', c, 'session_requests.' || c || ' is nullable')
from unnest(
    array['preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at']
) as c;
select col_hasnt_default('public', 'session_requests', c, 'no default on ' || c)
from unnest(
    array['preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at']
) as c;
select col_not_null('public', 'session_requests', 'customer_id', 'a request has a customer');
select col_default_is('public', 'session_requests', 'metadata', '{}', 'metadata is {} at first');
select col_is_pk('public', 'mechanics', 'id', 'a mechanic is a user');
select col_is_pk(
    'public', 'customer_favorites', array['customer_id', 'mechanic_id'], 'a favourite is kept once'
);
select col_is_pk('dispatch', 'stripe_events', 'id', 'a Stripe event is kept once');
select col_is_pk('dispatch', 'request_events', 'id', 'the event id is the cursor');

select fk_ok(
    'public', 'session_requests', 'preferred_mechanic_id', 'public', 'mechanics', 'id'
);
select fk_ok('public', 'session_requests', 'customer_id', 'auth', 'users', 'id');
select fk_ok('public', 'session_requests', 'mechanic_id', 'auth', 'users', 'id');
select
    is(
        (
            select c.confdeltype::text from pg_constraint as c
            where
                c.contype = 'f' and c.conrelid = 'public.session_requests'::regclass
                and c.conkey = array[
                    (
                        select a.attnum from pg_attribute as a
                        where a.attrelid = c.conrelid and a.attname = keys.col
                    )
                ]
        ),
        keys.action,
        keys.col || ' on delete: ' || case keys.action when 'n' then 'set null' else 'cascade' end
    )
from (
    values ('preferred_mechanic_id', 'n'), ('mechanic_id', 'n'), ('customer_id', 'c')
) as keys (col, action);

select has_index('public', 'session_requests', i, i || ' is there')
from unnest(array[
    'session_requests_preferred_mechanic_idx',
    'session_requests_priority_notified_idx',
    'session_requests_priority_deadline_idx',
    'session_requests_stripe_checkout_session_id_key'
]) as i;
select
    ok(
        (
            select x.indpred is not null from pg_index as x
            where x.indexrelid = ('public.' || i)::regclass
        ),
        i || ' is partial'
    )
from unnest(array[
    'session_requests_preferred_mechanic_idx',
    'session_requests_priority_notified_idx',
    'session_requests_priority_deadline_idx'
]) as i;
select index_is_unique(
    'public', 'session_requests', 'session_requests_stripe_checkout_session_id_key',
    'one request for each Checkout Session'
);

select results_eq(
    $$
        select code, price_cents, currency from public.service_plans
        where code in ('free-diagnostic', 'quick-chat', 'expert-video') order by price_cents
    $$,
    $$ values
    ('free-diagnostic', 0, 'usd'), ('quick-chat', 999, 'usd'), ('expert-video', 2999, 'usd') $$,
    'the plans are seeded'
);
select has_trigger('public', 'session_requests', t, t || ' is there')
from unnest(array['session_requests_route', 'session_requests_guard']) as t;

select * from finish();
rollback;
