-- What the platform needs of the database it comes to: collected here, refused by refuse.sql.
create temporary table missing (what text, remedy text) on commit drop;

insert into pg_temp.missing (what, remedy)
select 'PostgreSQL ' || current_setting('server_version'), 'upgrade to 15 or newer'
where current_setting('server_version_num')::integer < 150000
union all
select 'role ' || w.name || ' is missing', 'Supabase has it; elsewhere create it'
from (values ('anon'), ('authenticated'), ('service_role')) as w (name)
where to_regrole(w.name) is null
union all
select w.name || ' is missing', 'Supabase Auth has it; elsewhere create it'
from (values ('auth.uid()'), ('auth.jwt()')) as w (name)
where to_regprocedure(w.name) is null
union all
select 'table auth.users is missing', 'Supabase Auth has it; elsewhere create it'
where to_regclass('auth.users') is null
union all
select 'schema dispatch is somebody else''s', 'rename it'
where
    to_regclass('dispatch.request_events') is null
    and exists (
        select from pg_catalog.pg_class
        where relnamespace = to_regnamespace('dispatch')
    );

create temporary table marketplace on commit drop as
select c.oid, c.relname, c.relkind, c.relowner
from pg_catalog.pg_class as c
where
    c.relnamespace = 'public'::regnamespace
    and c.relname in ('mechanics', 'customer_favorites', 'service_plans', 'session_requests');

insert into pg_temp.missing (what, remedy)
select relname || ' is not an ordinary table', 'rename it; views and partitions cannot be guarded'
from pg_temp.marketplace
where relkind <> 'r'
union all
select
    format('table %s belongs to %s', relname, relowner::regrole),
    'install as that role, or give the table to ' || current_user
from pg_temp.marketplace
where not pg_has_role(relowner, 'usage');

insert into pg_temp.missing (what, remedy)
select
    case
        when a.attnum is null then format('column %s.%s is missing', m.relname, w.name)
        else
            format(
                'column %s.%s is %s, not %s',
                m.relname, w.name, format_type(a.atttypid, a.atttypmod), w.type
            )
    end,
    format(
        case
            when a.attnum is null then 'alter table public.%s add column %s %s'
            else 'alter table public.%s alter column %s type %s using …'
        end,
        m.relname, w.name, w.type
    )
from (
    values
    ('mechanics', 'id', 'uuid'),
    ('mechanics', 'display_name', 'text'),
    ('mechanics', 'status', 'text'),
    ('mechanics', 'is_online', 'boolean'),
    ('mechanics', 'brands', 'text[]'),
    ('mechanics', 'country', 'text'),
    ('mechanics', 'city', 'text'),
    ('mechanics', 'updated_at', 'timestamptz'),
    ('customer_favorites', 'customer_id', 'uuid'),
    ('customer_favorites', 'mechanic_id', 'uuid'),
    ('customer_favorites', 'created_at', 'timestamptz'),
    ('service_plans', 'code', 'text'),
    ('service_plans', 'title', 'text'),
    ('service_plans', 'session_type', 'public.session_type'),
    ('service_plans', 'price_cents', 'integer'),
    ('service_plans', 'currency', 'text'),
    ('service_plans', 'is_active', 'boolean'),
    ('session_requests', 'id', 'uuid'),
    ('session_requests', 'created_at', 'timestamptz'),
    ('session_requests', 'updated_at', 'timestamptz'),
    ('session_requests', 'customer_id', 'uuid'),
    ('session_requests', 'mechanic_id', 'uuid'),
    ('session_requests', 'session_type', 'public.session_type'),
    ('session_requests', 'plan_code', 'text'),
    ('session_requests', 'status', 'public.session_request_status'),
    ('session_requests', 'customer_name', 'text'),
    ('session_requests', 'customer_email', 'text'),
    ('session_requests', 'notes', 'text'),
    ('session_requests', 'accepted_at', 'timestamptz'),
    ('session_requests', 'notification_sent_at', 'timestamptz'),
    ('session_requests', 'metadata', 'jsonb'),
    ('session_requests', 'requested_brand', 'text'),
    ('session_requests', 'customer_country', 'text'),
    ('session_requests', 'customer_city', 'text'),
    ('session_requests', 'expires_at', 'timestamptz')
) as w (relation, name, type)
inner join pg_temp.marketplace as m on m.relname = w.relation
left join pg_catalog.pg_attribute as a
    on a.attrelid = m.oid and a.attname = w.name and not a.attisdropped
where a.attnum is null or a.atttypid is distinct from to_regtype(w.type);

insert into pg_temp.missing (what, remedy)
select
    format('type %s has no value %s', w.name, v.label),
    format('alter type %s add value %L', w.name, v.label)
from (
    values
    ('public.session_type', array['diagnostic', 'chat', 'video']),
    (
        'public.session_request_status',
        array['pending', 'accepted', 'cancelled', 'expired', 'completed']
    )
) as w (name, labels)
cross join unnest(w.labels) as v (label)
where
    to_regtype(w.name) is not null
    and not exists (
        select from pg_catalog.pg_enum as e
        where e.enumtypid = to_regtype(w.name) and e.enumlabel = v.label
    );

-- What a booking leaves empty must be allowed to be empty. (A trigger before the insert may fill
-- what has no default, and the marketplace's own may be such a one.)
insert into pg_temp.missing (what, remedy)
select
    format('column session_requests.%s is not null', a.attname),
    format('alter table public.session_requests alter column %I drop not null', a.attname)
from pg_temp.marketplace as m
inner join pg_catalog.pg_attribute as a
    on
        a.attrelid = m.oid and a.attnotnull
        and a.attname in (
            'mechanic_id', 'notes', 'accepted_at', 'notification_sent_at', 'requested_brand',
            'customer_country', 'customer_city', 'expires_at'
        )
where m.relname = 'session_requests'
union all
select
    format('column session_requests.%s has no default', a.attname),
    format('alter table public.session_requests alter column %I set default …', a.attname)
from pg_temp.marketplace as m
inner join pg_catalog.pg_attribute as a
    on
        a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped
        and not a.atthasdef and a.attidentity = ''
where
    m.relname = 'session_requests'
    and (a.attnotnull or a.attname in ('created_at', 'status'))
    and a.attname not in (
        'customer_id', 'mechanic_id', 'session_type', 'plan_code', 'customer_name',
        'customer_email', 'notes', 'accepted_at', 'notification_sent_at', 'metadata',
        'requested_brand', 'customer_country', 'customer_city', 'expires_at'
    )
    -- row, before, insert
    and not exists (
        select from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        where
            t.tgrelid = m.oid and t.tgtype & 7 = 7
            and p.pronamespace is distinct from to_regnamespace('dispatch')
    );

insert into pg_temp.missing (what, remedy)
select
    format('table %s has no unique key (%s)', m.relname, w.columns),
    format('alter table public.%s add unique (%s)', m.relname, w.columns)
from (
    values
    ('mechanics', 'id'),
    ('customer_favorites', 'customer_id, mechanic_id'),
    ('service_plans', 'code'),
    ('session_requests', 'id')
) as w (relation, columns)
inner join pg_temp.marketplace as m on m.relname = w.relation and m.relkind = 'r'
where
    not exists (
        select from pg_catalog.pg_index as i
        where
            i.indrelid = m.oid and i.indisunique and i.indisvalid and i.indpred is null
            and string_to_array(w.columns, ', ') = (
                select array_agg(a.attname::text order by a.attname)
                from pg_catalog.pg_attribute as a
                where a.attrelid = m.oid and a.attnum = any(i.indkey)
            )
    );

-- Nothing of the marketplace's is replaced because its name is one of ours.
insert into pg_temp.missing (what, remedy)
select
    format('function %s is the marketplace''s own', p.oid::regprocedure),
    'rename it: clients call ours by this name'
from pg_catalog.pg_proc as p
where
    p.pronamespace = 'public'::regnamespace and p.prosrc !~ '\mdispatch\.'
    and p.proname in (
        'accept_session_request', 'broadcast_session_request_now', 'cancel_session_request',
        'complete_session_request', 'decline_session_request', 'get_mechanic_status',
        'get_session_request_timeline', 'list_favorite_mechanics', 'list_open_session_requests',
        'list_session_request_events', 'prepare_checkout', 'process_stripe_event',
        'request_free_session', 'set_presence'
    )
union all
select
    format('trigger %s is the marketplace''s own', t.tgname),
    format('alter trigger %s on public.%s rename to …', t.tgname, m.relname)
from pg_temp.marketplace as m
inner join pg_catalog.pg_trigger as t on t.tgrelid = m.oid
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
where
    p.pronamespace is distinct from to_regnamespace('dispatch')
    and t.tgname in (
        'session_requests_route', 'session_requests_guard', 'session_requests_log_insert',
        'session_requests_log_update', 'session_requests_log_delete', 'mechanics_release_windows'
    );

-- An index that was interrupted while it was built is there, and of no use.
insert into pg_temp.missing (what, remedy)
select
    format('index %s is invalid', i.indexrelid::regclass),
    format('drop index concurrently %s', i.indexrelid::regclass)
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indrelid
where
    not i.indisvalid
    and (
        c.relnamespace = to_regnamespace('dispatch')
        or c.oid in (select m.oid from pg_temp.marketplace as m)
    );

do $$
begin
    if
        exists (
            select from pg_catalog.pg_attribute
            where
                attrelid = to_regclass('public.session_requests')
                and attname = 'metadata' and atttypid = 'jsonb'::regtype
        )
        and to_regclass('public.session_requests_stripe_checkout_session_id_key') is null
    then
        insert into pg_temp.missing (what, remedy)
        select
            format(
                '%s session_requests have the stripe_checkout_session_id %s',
                count(*), r.metadata ->> 'stripe_checkout_session_id'
            ),
            'one Checkout Session is one request: take it out of the metadata of the others'
        from public.session_requests as r
        where r.metadata ->> 'stripe_checkout_session_id' is not null
        group by r.metadata ->> 'stripe_checkout_session_id'
        having count(*) > 1
        order by 1 limit 10;
    end if;
end;
$$;
