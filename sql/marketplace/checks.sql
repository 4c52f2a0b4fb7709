-- The enums, with at least our words.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'type ' || w.name as check_name,
        count(e.enumlabel) = count(*) as ok,
        coalesce(
            'lacks: ' || string_agg(v.word, ', ' order by v.word) filter (where e.oid is null),
            'has all its words'
        ) as detail
    from (
        values
        ('session_type', array['diagnostic', 'chat', 'video']),
        (
            'session_request_status',
            array['pending', 'accepted', 'cancelled', 'expired', 'completed']
        )
    ) as w (name, words)
    cross join unnest(w.words) as v (word)
    left join pg_catalog.pg_enum as e
        on e.enumtypid = to_regtype('public.' || w.name) and e.enumlabel = v.word
    group by w.name
) as c
\gset

-- The tables, with at least our columns and what keeps a row whole; and what clients may do with
-- these, exactly. The feature's columns, and what others have added since, are not looked at; nor a
-- default that is the owner's to choose.
with tables as (
    select
        w.name,
        w.columns,
        to_regclass('public.' || w.name) as oid
    from (
        values
        (
            'mechanics',
            'id uuid not null, display_name text, status text, '
            'is_online boolean not null default false, '
            'brands text[] not null default ''{}''::text[], country text, city text, '
            'created_at timestamptz not null default now(), '
            'updated_at timestamptz not null default now()'
        ),
        (
            'customer_favorites',
            'customer_id uuid not null, mechanic_id uuid not null, '
            'created_at timestamptz not null default now()'
        ),
        (
            'service_plans',
            'code text not null, title text, session_type public.session_type not null, '
            'price_cents integer not null, currency text not null, is_active boolean not null'
        ),
        (
            'session_requests',
            'id uuid not null default gen_random_uuid(), '
            'created_at timestamptz not null default now(), '
            'updated_at timestamptz not null default now(), customer_id uuid not null, '
            'mechanic_id uuid null, session_type public.session_type not null, plan_code text, '
            'status public.session_request_status not null '
            'default ''pending''::public.session_request_status, customer_name text, '
            'customer_email text, notes text, accepted_at timestamptz null, '
            'notification_sent_at timestamptz null, metadata jsonb not null default ''{}''::jsonb, '
            'is_urgent boolean, request_type text, requested_brand text, '
            'extracted_keywords text[], customer_country text, customer_city text, '
            'expires_at timestamptz null, is_follow_up boolean, preferred_workshop_id uuid'
        )
    ) as w (name, columns)
),

columns as (
    select
        t.name as relation,
        split_part(n.text, ' ', 1) as name,
        split_part(n.text, ' ', 2) as type,
        a.attnum,
        a.atttypid,
        (n.text not like '% not null%' or a.attnotnull)
        -- Each booking leaves it empty.
        and not (n.text ~ '^\S+ \S+ null$' and a.attnotnull)
        and (
            n.text not like '% default %'
            or pg_get_expr(d.adbin, d.adrelid)
            is not distinct from regexp_replace(n.text, '^.* default ', '')
        ) as is_whole,
        n.text as wanted
    from tables as t
    cross join unnest(string_to_array(t.columns, ', ')) as n (text)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = t.oid and a.attname = split_part(n.text, ' ', 1)
            and not a.attisdropped
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
),

-- A privilege on the whole table is told without columns.
grants as (
    select
        t.name as relation,
        r.role,
        string_agg(
            p.privilege || case when not p.is_whole then ' (' || p.columns || ')' else '' end,
            ', ' order by p.number
        ) as found
    from tables as t
    cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role)
    left join
        lateral (
            select
                v.number,
                v.privilege,
                has_table_privilege(r.role, t.oid, v.privilege) as is_whole,
                (
                    select string_agg(k.name, ', ' order by k.name)
                    from columns as k
                    where
                        v.has_columns and k.relation = t.name and k.attnum is not null
                        and has_column_privilege(r.role, t.oid, k.attnum, v.privilege)
                ) as columns
            from (
                values
                (1, 'select', true),
                (2, 'insert', true),
                (3, 'update', true),
                (4, 'delete', false),
                (5, 'truncate', false),
                (6, 'references', true),
                (7, current_setting('favorites_priority.last_privileges'), false)
            ) as v (number, privilege, has_columns)
        ) as p
        on p.is_whole or p.columns is not null
    group by t.name, r.role
)

select
    set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb
            || jsonb_agg(to_jsonb(c) - 'number' order by c.number, c.check_name)
        )::text,
        true
    ) as kept
from (
    select
        1 as number,
        'table ' || t.name as check_name,
        bool_and(
            coalesce(k.atttypid = to_regtype(k.type) and k.is_whole and o.relkind = 'r', false)
        ) as ok,
        case
            when t.oid is null then 'missing: run sql/marketplace/up.sql'
            when bool_or(o.relkind <> 'r') then 'not an ordinary table'
            else
                coalesce(
                    nullif(
                        concat_ws(
                            '; ',
                            'missing or of another type: '
                            || string_agg(k.name, ', ' order by k.name)
                            filter (where k.atttypid is distinct from to_regtype(k.type)),
                            'alter column … set: '
                            || string_agg(k.wanted, ', ' order by k.name)
                            filter (where k.atttypid = to_regtype(k.type) and not k.is_whole)
                        ),
                        ''
                    ),
                    count(*) || ' columns'
                )
        end as detail
    from tables as t
    inner join columns as k on k.relation = t.name
    left join pg_catalog.pg_class as o on o.oid = t.oid
    group by t.name, t.oid
    union all
    select
        2,
        'row level security on ' || t.name,
        coalesce(
            o.relrowsecurity and (not o.relforcerowsecurity or r.rolbypassrls or r.rolsuper), false
        ),
        case
            when t.oid is null then 'missing: run sql/marketplace/up.sql'
            when not o.relrowsecurity then 'off: alter table … enable row level security'
            when o.relforcerowsecurity and not (r.rolbypassrls or r.rolsuper)
                then
                    'on, and rows are hidden from the owner, as whom the RPCs run: alter table … '
                    'no force row level security'
            else 'on'
        end
    from tables as t
    left join pg_catalog.pg_class as o on o.oid = t.oid
    left join pg_catalog.pg_roles as r on r.oid = o.relowner
    union all
    -- A row is there after a crash, and no rule keeps it out. Of one that is deleted nothing but
    -- the id is published. No estimate tells how many are whose (sql/marketplace/policies.sql).
    select
        4,
        'storage of ' || t.name,
        t.oid is not null and count(f.fault) = 0,
        coalesce(
            string_agg(f.fault, '; ' order by f.fault),
            case
                when t.oid is null then 'missing: run sql/marketplace/up.sql'
                else 'as it must be'
            end
        )
    from tables as t
    left join pg_catalog.pg_class as o on o.oid = t.oid
    left join pg_catalog.pg_namespace as e on e.nspname = 'dispatch'
    left join
        lateral (
            values
            (
                not pg_has_role(e.nspowner, o.relowner, 'usage')
                -- Whose it is may switch off what guards it.
                or o.relowner::regrole::text in ('anon', 'authenticated', 'service_role'),
                'another''s: alter table … owner to ' || e.nspowner::regrole
            ),
            (o.relpersistence <> 'p', 'lost in a crash: alter table … set logged'),
            (
                concat_ws(
                    ',', array_to_string(o.reloptions, ','),
                    (
                        select array_to_string(s.reloptions, ',') from pg_catalog.pg_class as s
                        where s.oid = o.reltoastrelid
                    )
                ) ~* 'autovacuum_enabled=(off?|no?|f[a-z]*|0)\M',
                'not vacuumed: alter table … reset (autovacuum_enabled, toast.autovacuum_enabled)'
            ),
            (
                exists (
                    select from pg_catalog.pg_rewrite as r
                    where r.ev_class = o.oid
                ),
                'it has a rule: drop it'
            ),
            (
                t.name = 'session_requests' and o.relreplident <> 'd',
                'alter table … replica identity default'
            ),
            (
                exists (
                    select from pg_catalog.pg_attribute as a
                    where
                        a.attrelid = o.oid and coalesce(a.attstattarget, -1) <> 0
                        and (t.name, a.attname) in (
                            ('customer_favorites', 'customer_id'),
                            ('customer_favorites', 'mechanic_id'),
                            ('session_requests', 'customer_id'),
                            ('session_requests', 'mechanic_id'),
                            ('mechanics', 'display_name')
                        )
                ),
                case t.name
                    when 'mechanics' then 'alter column display_name'
                    else 'alter column customer_id and mechanic_id'
                end
                || ' set statistics 0, and take from pg_statistic what it has of them'
            )
        ) as f (is_so, fault)
        on f.is_so
    group by t.name, t.oid
    union all
    select
        3,
        'grants on ' || t.name,
        bool_and(
            case g.role
                -- (Null is none: bool_and would leave it out.)
                when 'service_role'
                    then coalesce(g.found like 'select, insert, update, delete%', false)
                when 'anon' then g.found is not distinct from w.to_anon
                else g.found is not distinct from w.to_authenticated
            end
        ) is true,
        coalesce(
            string_agg(g.role || ': ' || coalesce(g.found, 'nothing'), '; ' order by g.role)
            filter (
                where
                (g.role = 'anon' and g.found is distinct from w.to_anon)
                or (g.role = 'authenticated' and g.found is distinct from w.to_authenticated)
                or (
                    g.role = 'service_role'
                    and g.found like 'select, insert, update, delete%' is not true
                )
            ) || ' (run sql/marketplace/up.sql; what was granted of a column: revoke it)',
            case
                when t.oid is null then 'missing: run sql/marketplace/up.sql'
                else 'exactly as expected'
            end
        )
    from tables as t
    inner join grants as g on g.relation = t.name
    inner join (
        values
        (
            'mechanics',
            null::text,
            'select, insert (brands, city, country, display_name, id), '
            'update (brands, city, country, display_name)'
        ),
        ('customer_favorites', null, 'select, insert, delete'),
        ('service_plans', 'select', 'select'),
        (
            'session_requests',
            null,
            'select (accepted_at, created_at, customer_city, customer_country, customer_id, '
            'expires_at, extracted_keywords, id, is_follow_up, is_urgent, mechanic_id, '
            'notification_sent_at, plan_code, preferred_workshop_id, request_type, '
            'requested_brand, session_type, status, updated_at)'
        )
    ) as w (relation, to_anon, to_authenticated) on w.relation = t.name
    group by t.name, t.oid
) as c
\gset

-- What keeps the rows of one table true to those of another, and what one profile may cost.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'constraints of ' || w.relation as check_name,
        bool_and(k.is_same is true) as ok,
        coalesce(
            string_agg(
                case
                    when k.is_disabled
                        then format('alter table … enable trigger all (for %s)', w.name)
                    else
                        concat(
                            case when k.oid is not null then 'another or not valid: drop it; ' end,
                            'alter table … add constraint ', w.name, ' ',
                            coalesce(w.definition, 'as in sql/marketplace/tables.sql')
                        )
                end,
                '; ' order by w.name
            ) filter (where k.is_same is not true),
            count(*) || ', all there'
        ) as detail
    from (
        values
        ('mechanics', 'mechanics_pkey', 'PRIMARY KEY (id)'),
        (
            'mechanics', 'mechanics_id_fkey',
            'FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE'
        ),
        -- What stands in these is the owner's to widen.
        ('mechanics', 'mechanics_status_check', null),
        ('mechanics', 'mechanics_display_name_check', null),
        ('mechanics', 'mechanics_country_check', null),
        ('mechanics', 'mechanics_city_check', null),
        ('mechanics', 'mechanics_brands_check', null),
        ('customer_favorites', 'customer_favorites_pkey', 'PRIMARY KEY (customer_id, mechanic_id)'),
        (
            'customer_favorites', 'customer_favorites_customer_id_fkey',
            'FOREIGN KEY (customer_id) REFERENCES auth.users(id) ON DELETE CASCADE'
        ),
        (
            'customer_favorites', 'customer_favorites_mechanic_id_fkey',
            'FOREIGN KEY (mechanic_id) REFERENCES public.mechanics(id) ON DELETE CASCADE'
        ),
        ('service_plans', 'service_plans_pkey', 'PRIMARY KEY (code)'),
        ('service_plans', 'service_plans_price_cents_check', null),
        ('session_requests', 'session_requests_pkey', 'PRIMARY KEY (id)'),
        (
            'session_requests', 'session_requests_customer_id_fkey',
            'FOREIGN KEY (customer_id) REFERENCES auth.users(id) ON DELETE CASCADE'
        ),
        (
            'session_requests', 'session_requests_mechanic_id_fkey',
            'FOREIGN KEY (mechanic_id) REFERENCES auth.users(id) ON DELETE SET NULL'
        ),
        ('session_requests', 'session_requests_request_type_check', null)
    ) as w (relation, name, definition)
    left join
        lateral (
            select
                c.oid,
                c.convalidated and not d.is_disabled
                and case
                    when w.definition is null
                        then c.contype = 'c' and pg_get_constraintdef(c.oid) <> 'CHECK (true)'
                    else pg_get_constraintdef(c.oid) = w.definition
                end as is_same,
                d.is_disabled
            from pg_catalog.pg_constraint as c
            cross join
                lateral (
                    select count(*) > 0 as is_disabled
                    from pg_catalog.pg_trigger as t
                    where t.tgconstraint = c.oid and t.tgenabled not in ('O', 'A')
                ) as d
            where c.conname = w.name and c.conrelid = to_regclass('public.' || w.relation)
        ) as k
        on true
    group by w.relation
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'policy ' || w.name as check_name,
        coalesce(
            p.permissive = 'PERMISSIVE' and p.cmd = w.command and p.roles = w.roles
            and concat_ws(' ', p.qual, p.with_check) like w.rule,
            false
        ) as ok,
        case
            when p.policyname is null then 'missing: see ' || w.file
            else
                case
                    when
                        p.permissive = 'PERMISSIVE' and p.cmd = w.command and p.roles = w.roles
                        and concat_ws(' ', p.qual, p.with_check) like w.rule
                        then ''
                    else 'another (see ' || w.file || '): ' || lower(p.permissive) || ', '
                end
                || 'for ' || lower(p.cmd) || ' to ' || array_to_string(p.roles, ', ') || ': '
                || concat_ws(' ', p.qual, p.with_check)
        end as detail
    from (
        values
        (
            'mechanics_select', 'mechanics', 'SELECT', array['authenticated']::name[],
            case
                when to_regprocedure('dispatch.governs_all()') is null
                    then '((status = ''approved''::text) OR (id = ( SELECT auth.uid() AS uid)))'
                else
                    '(((status = ''approved''::text) '
                    'AND (id <> ALL%dispatch.hidden_from_caller()%)) '
                    'OR (id = ( SELECT auth.uid() AS uid)))'
            end,
            'sql/engine/hide_blocked.sql'
        ),
        (
            'mechanics_insert', 'mechanics', 'INSERT', array['authenticated'],
            '(id = ( SELECT auth.uid() AS uid))',
            'sql/marketplace/policies.sql'
        ),
        (
            'mechanics_update', 'mechanics', 'UPDATE', array['authenticated'],
            '(id = ( SELECT auth.uid() AS uid)) (id = ( SELECT auth.uid() AS uid))',
            'sql/marketplace/policies.sql'
        ),
        (
            'customer_favorites_select', 'customer_favorites', 'SELECT', array['authenticated'],
            '(customer_id = ( SELECT auth.uid() AS uid))',
            'sql/marketplace/policies.sql'
        ),
        (
            'customer_favorites_insert', 'customer_favorites', 'INSERT', array['authenticated'],
            '((customer_id = ( SELECT auth.uid() AS uid)) AND (EXISTS%mechanics m%'
            'm.id = customer_favorites.mechanic_id%m.status = ''approved''%',
            'sql/marketplace/policies.sql'
        ),
        (
            'customer_favorites_delete', 'customer_favorites', 'DELETE', array['authenticated'],
            '(customer_id = ( SELECT auth.uid() AS uid))',
            'sql/marketplace/policies.sql'
        ),
        (
            'service_plans_select', 'service_plans', 'SELECT', array['anon', 'authenticated'],
            'is_active',
            'sql/marketplace/policies.sql'
        ),
        -- The engine's up.sql lets mechanics see what is open to them, and hides who is blocked.
        (
            'session_requests_select', 'session_requests', 'SELECT', array['authenticated'],
            case
                when to_regprocedure('dispatch.governs_all()') is null
                    then
                        '((customer_id = ( SELECT auth.uid() AS uid)) '
                        'OR (mechanic_id = ( SELECT auth.uid() AS uid)))'
                else
                    '((customer_id = ( SELECT dispatch.caller_id() AS caller_id)) '
                    'OR (mechanic_id = ( SELECT dispatch.caller_id() AS caller_id)) '
                    'OR (%''pending''%AND dispatch.may_see_request(%)))'
            end,
            'sql/engine/see_open_requests.sql'
        )
    ) as w (name, relation, command, roles, rule, file)
    left join pg_catalog.pg_policies as p
        on
            p.schemaname = 'public' and p.tablename = w.relation
            and p.policyname = w.name
) as c
\gset

-- One Checkout Session is one request because of this one; the others are for speed.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/marketplace/indexes.sql'
            when not (i.indisvalid and i.indisready)
                then 'invalid: drop it and run sql/marketplace/indexes.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/marketplace/indexes.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'session_requests_stripe_checkout_session_id_key', 'session_requests', true,
            'metadata ->> ''stripe_checkout_session_id''::text WHERE '
            'metadata ->> ''stripe_checkout_session_id''::text IS NOT NULL'
        ),
        (
            'session_requests_stripe_payment_intent_idx', 'session_requests', false,
            'metadata ->> ''stripe_payment_intent''::text WHERE '
            'metadata ->> ''stripe_payment_intent''::text IS NOT NULL'
        ),
        (
            'session_requests_customer_id_idx', 'session_requests', false, 'customer_id, created_at'
        ),
        (
            'session_requests_mechanic_id_idx', 'session_requests', false,
            'mechanic_id WHERE mechanic_id IS NOT NULL'
        ),
        (
            'session_requests_open_idx', 'session_requests', false,
            'created_at WHERE status = ''pending''::public.session_request_status '
            'AND notification_sent_at IS NOT NULL'
        ),
        (
            'session_requests_expiry_idx', 'session_requests', false,
            'expires_at WHERE status = ''pending''::public.session_request_status'
        ),
        (
            'session_requests_unsettled_idx', 'session_requests', false,
            'updated_at WHERE status = ''accepted''::public.session_request_status '
            'OR status = ANY ARRAY[''cancelled''::public.session_request_status, '
            '''expired''::public.session_request_status] '
            'AND metadata ->> ''stripe_payment_intent''::text IS NOT NULL '
            'AND NOT metadata ? ''refunded_at''::text'
        ),
        ('mechanics_online_idx', 'mechanics', false, 'id WHERE is_online'),
        ('customer_favorites_mechanic_id_idx', 'customer_favorites', false, 'mechanic_id')
    ) as w (name, relation, is_unique, keys)
    left join pg_catalog.pg_index as i
        on
            i.indexrelid = to_regclass('public.' || w.name)
            and i.indrelid = to_regclass('public.' || w.relation)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', ''), '()', ''
    ) as d (keys)
) as c
\gset
