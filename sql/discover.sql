-- Finds the shape of a marketplace that is there, and writes the binding for it, to look over:
--   psql "$DATABASE_URL" -X -q -f sql/discover.sql > binding.sql
-- What it prints is a file for psql: what was found and by what evidence, as comments; what cannot
-- be known, as lines that begin with QUESTION; then the binding. It reads only: the catalogue, and
-- of the tables that may belong to the marketplace the first 1,000 rows. Only words (statuses,
-- types, prices, currencies) are shown of these, no names, addresses or ids.
-- Exit status: 0, or 3 with all that is in the way on stderr and nothing on stdout.
\set ON_ERROR_STOP on
\set QUIET on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset pager off
begin;
set local transaction_isolation = 'repeatable read';
set local transaction_read_only = on;
set local search_path = '';
set local jit = off;
set local client_min_messages = warning;
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;

-- 1. Look. Each column of each table that may be one of the four becomes an object in
-- discover.columns: its type, where its foreign key leads, which words its CHECK or enum knows, and
-- what its values are. A setting, because a temporary table would be a write.
do $look$
declare
    -- Not to_regclass, which fails for who may not use the schema.
    v_users constant oid := (
        select c.oid from pg_catalog.pg_class as c
        where
            c.relname = 'users'
            and c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = 'auth')
    );
    v_reads_users constant boolean := coalesce(
        has_schema_privilege(to_regnamespace('auth')::oid, 'usage')
        and has_table_privilege(v_users, 'select'),
        false
    );
    v_has_key boolean;
    v_codes text[];
    v_columns jsonb := '[]';
    v_values jsonb;
    v_words text[];
    c record;
begin
    -- Whether a mechanic can be looked up by id at all.
    select
        coalesce(bool_or(a.atttypid = 'uuid'::regtype), false)
        and coalesce(has_table_privilege(to_regclass('public.mechanics')::oid, 'select'), false)
    into v_has_key
    from pg_catalog.pg_attribute as a
    where
        a.attrelid = to_regclass('public.mechanics') and a.attname = 'id' and not a.attisdropped;

    if
        exists (
            select from pg_catalog.pg_attribute as a
            where
                a.attrelid = to_regclass('public.session_requests')
                and a.attname = 'plan_code' and not a.attisdropped
        )
        and has_table_privilege(to_regclass('public.session_requests')::oid, 'select')
    then
        select array_agg(distinct s.plan_code::text) into v_codes
        from (select r.plan_code from public.session_requests as r limit 1000) as s
        where s.plan_code is not null;
    end if;

    for c in
        with recursive foreign_keys as (
            select f.conrelid, f.conkey[1] as attnum, f.confrelid, f.confkey[1] as confattnum
            from pg_catalog.pg_constraint as f
            where f.contype = 'f' and cardinality(f.conkey) = 1
        ),

        -- A key may lead to a user by way of another table, such as profiles.
        paths as (
            select f.conrelid, f.attnum, f.confrelid, f.confattnum, 1 as steps
            from foreign_keys as f
            union all
            select p.conrelid, p.attnum, f.confrelid, f.confattnum, p.steps + 1
            from paths as p
            inner join foreign_keys as f
                on f.conrelid = p.confrelid and f.attnum = p.confattnum
            where p.steps < 5
        ),

        targets as (
            select
                p.conrelid,
                p.attnum,
                string_agg(
                    format('%s (%I)', p.confrelid::regclass, a.attname),
                    ' and ' order by p.confrelid
                ) filter (where p.steps = 1) as points_to,
                min(a.attname) filter (where p.confrelid = to_regclass('public.mechanics'))
                    as to_mechanics,
                min(p.confrelid) filter (where p.steps = 1) as to_table,
                min(a.attname) filter (where p.steps = 1) as to_column,
                bool_or(p.confrelid = v_users and a.attname = 'id') as is_user
            from paths as p
            inner join pg_catalog.pg_attribute as a
                on a.attrelid = p.confrelid and a.attnum = p.confattnum
            group by p.conrelid, p.attnum
        ),

        -- The words of a CHECK that lists what a column may be; not of one that says what it may
        -- not be, or how it must look.
        checked as (
            select
                k.conrelid,
                k.contypid,
                k.conkey[1] as attnum,
                array_agg(replace(w.word[1], '''''', '''') order by w.number) as words
            from pg_catalog.pg_constraint as k
            cross join
                regexp_matches(pg_get_constraintdef(k.oid), '''((?:[^'']|'''')+)''', 'g')
                with ordinality as w (word, number)
            where
                k.contype = 'c' and coalesce(cardinality(k.conkey), 1) = 1
                and pg_get_constraintdef(k.oid) !~ '[<>~]'
            group by k.oid
        ),

        tables as (
            select
                t.oid,
                t.relname,
                t.relkind,
                case
                    when k.is_plans then 'plans'
                    when t.relname = 'mechanics' and k.is_public then 'mechanics'
                    when t.relname = 'session_requests' and k.is_public then 'requests'
                    when t.relname ~* 'fav' then 'favorites'
                    else 'plans'
                end as role
            from pg_catalog.pg_class as t
            cross join
                lateral (
                    select
                        t.relnamespace = to_regnamespace('public') as is_public,
                        -- Wherever it is, and whatever its name.
                        exists (
                            select from foreign_keys as f
                            inner join pg_catalog.pg_attribute as a
                                on a.attrelid = f.conrelid and a.attnum = f.attnum
                            where
                                f.conrelid = to_regclass('public.session_requests')
                                and a.attname = 'plan_code' and f.confrelid = t.oid
                        ) as is_plans,
                        exists (
                            select from foreign_keys as f
                            where
                                f.conrelid = t.oid
                                and f.confrelid = to_regclass('public.mechanics')
                        ) as is_of_mechanics
                ) as k
            where
                t.relkind in ('r', 'p', 'v', 'm', 'f')
                and (
                    k.is_plans
                    or (
                        k.is_public
                        and (
                            t.relname in (
                                'mechanics', 'session_requests', 'customer_favorites',
                                'service_plans'
                            )
                            or t.relkind in ('r', 'p')
                            and t.relname ~* 'fav|plan|pric|product|package'
                        )
                    )
                    or (k.is_of_mechanics and t.relname ~* 'fav')
                )
        )

        select
            t.role,
            t.oid::regclass::text as relation,
            t.relname,
            t.relkind,
            a.attnum,
            a.attname as name,
            format_type(a.atttypid, a.atttypmod) as type,
            case
                when y.typcategory = 'S' then 'text'
                when y.typcategory = 'E' then 'enum'
                when y.typcategory = 'B' then 'boolean'
                when y.oid = 'uuid'::regtype then 'uuid'
                when y.oid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then 'integer'
                when y.typcategory = 'N' then 'numeric'
                when y.oid in ('timestamptz'::regtype, 'timestamp'::regtype) then 'time'
                when y.typcategory = 'A' and e.typcategory in ('S', 'E') then 'list'
                when y.oid in ('jsonb'::regtype, 'json'::regtype) then 'json'
                else 'other'
            end as kind,
            y.oid::regtype::text as base_type,
            a.attnotnull as not_null,
            exists (
                select from pg_catalog.pg_index as i
                where
                    i.indrelid = t.oid and i.indisunique and i.indisvalid and i.indpred is null
                    and i.indnkeyatts = 1 and i.indkey[0] = a.attnum
            ) as is_unique,
            k.points_to,
            k.to_mechanics,
            k.to_table::regclass::text as to_table,
            k.to_column,
            coalesce(k.is_user, false) as is_user,
            coalesce(
                (
                    select array_agg(w.enumlabel::text order by w.enumsortorder)
                    from pg_catalog.pg_enum as w
                    where w.enumtypid = y.oid
                ),
                d.words
            ) as words,
            case when y.typcategory = 'E' then 'enum' else 'CHECK' end as words_from,
            has_table_privilege(t.oid, 'select') as is_readable
        from tables as t
        inner join pg_catalog.pg_attribute as a
            on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        inner join pg_catalog.pg_type as x on x.oid = a.atttypid
        inner join pg_catalog.pg_type as y on y.oid = coalesce(nullif(x.typbasetype, 0), x.oid)
        left join pg_catalog.pg_type as e on e.oid = y.typelem
        left join targets as k on k.conrelid = t.oid and k.attnum = a.attnum
        left join lateral (
            select h.words from checked as h
            where
                (h.conrelid = t.oid and h.attnum = a.attnum)
                or (h.contypid = x.oid and x.typtype = 'd')
            limit 1
        ) as d on true
        order by t.relname, a.attnum
    loop
        v_values := '{}';
        -- The words that a table of theirs lists for it.
        if
            c.words is null and c.kind = 'text' and c.role in ('mechanics', 'requests')
            and c.to_mechanics is null and not c.is_user and c.name <> 'plan_code'
            and has_table_privilege(c.to_table, 'select')
        then
            execute format(
                $q$
                select array_agg(w.word order by w.word)
                from (select %I::text as word from %s limit 41) as w
                having count(*) <= 40
                $q$,
                c.to_column, c.to_table
            ) into v_words;
            if v_words is not null then
                c.words := v_words;
                c.words_from := 'table ' || c.to_table;
            end if;
        end if;
        if c.is_readable then
            execute format(
                $q$
                with sample as materialized (
                    select %1$s as value from %2$s limit 1000
                ),
                counted as (
                    select value, count(*) as times from sample where value is not null
                    group by value
                )
                select jsonb_build_object(
                    'rows', (select count(*) from sample),
                    'filled', (select count(value) from sample),
                    'differ', (select count(*) from counted),
                    -- What has few values is a word; what has many may be a person's.
                    'vals', (
                        select jsonb_agg(value order by times desc, value) from counted
                        having count(*) <= 40
                    ),
                    'codes', (select count(*) from counted where value = any($1)),
                    'users', %3$s,
                    'mechanics', %4$s
                )
                $q$,
                case
                    when c.kind in ('list', 'json', 'other', 'time')
                        then format('case when %I is not null then ''x'' end', c.name)
                    else format('%I::text', c.name)
                end,
                c.relation,
                case
                    when c.kind = 'uuid' and v_reads_users
                        then
                            '(select count(*) from sample as s where exists ('
                            'select from auth.users as u where u.id = s.value::uuid))'
                    else 'null'
                end,
                case
                    when c.kind = 'uuid' and v_has_key
                        then
                            '(select count(*) from sample as s where exists ('
                            'select from public.mechanics as m where m.id = s.value::uuid))'
                    else 'null'
                end
            ) into v_values using v_codes;
        end if;
        v_columns := v_columns || jsonb_build_array(to_jsonb(c) || v_values);
    end loop;

    perform set_config('discover.columns', v_columns::text, true);
    perform set_config('discover.plan_codes', coalesce(cardinality(v_codes), 0)::text, true);
end;
$look$;

-- 2. Read. For each thing that the binding says, the columns that may be it, best first, each with
-- its evidence; for favourites and plans also which table is meant. `plausible`: where two are, it
-- is asked.
do $read$
declare
    v_readings jsonb;
    v_places jsonb;
    v_gone jsonb;
begin
    with columns as (
        select
            c.*,
            -- createdAt is created_at.
            lower(regexp_replace(c.name, '([a-z0-9])([A-Z])', '\1_\2', 'g')) as said,
            coalesce(c.words, c.vals) as known,
            case
                when c.words is null then 'values are'
                else c.words_from || ' knows'
            end as known_from,
            concat_ws(
                '; ',
                'by foreign key to ' || c.points_to || case
                    when c.is_user and c.points_to !~ 'auth\.users' then ', a user''s id'
                    else ''
                end,
                case
                    when c.users > 0
                        then format('%s of %s values are users'' ids', c.users, c.filled)
                end,
                case
                    when c.mechanics > 0 and c.role in ('favorites', 'requests')
                        then format('%s of %s values are mechanics'' ids', c.mechanics, c.filled)
                end
            ) as shown
        from jsonb_to_recordset(current_setting('discover.columns')::jsonb) as c (
            role text, relation text, relname text, relkind text, attnum integer, name text,
            type text, kind text, base_type text, not_null boolean, is_unique boolean,
            points_to text, to_mechanics text, is_user boolean, words text[], words_from text,
            is_readable boolean,
            "rows" bigint, filled bigint, differ bigint, vals text[], codes bigint, users bigint, mechanics bigint
        )
    ),

    -- What a name says well enough, best first.
    names as (
        select w.thing, w.role, w.kinds, w.names, w.asks
        from (
            values
            (
                'display_name', 'mechanics', '{text}'::text[], false,
                '{display_name,full_name,name,business_name,company_name,shop_name,nickname,
                username,first_name}'::text[]
            ),
            (
                'is_online', 'mechanics', '{boolean}', true,
                '{is_online,online,is_available,available,availability}'
            ),
            (
                'last_seen_at', 'mechanics', '{time}', false,
                '{last_seen_at,last_seen,last_active_at,last_active,last_online_at,last_online,
                last_heartbeat_at,last_heartbeat,last_activity_at,last_activity,last_updated_at,
                last_updated,updated_at}'
            ),
            (
                'city', 'mechanics', '{text,enum}', false,
                '{city,base_city,home_city,location_city,city_name,town}'
            ),
            (
                'country', 'mechanics', '{text,enum}', false,
                '{country,country_code,base_country,location_country,country_name}'
            ),
            (
                'favorited_at', 'favorites', '{time}', false,
                '{favorited_at,favourited_at,added_at,created_at,inserted_at,saved_at,since}'
            ),
            ('title', 'plans', '{text}', false, '{title,name,display_name,label,plan_name}'),
            ('currency', 'plans', '{text,enum}', false, '{currency,currency_code,price_currency}'),
            (
                'is_active', 'plans', '{boolean}', false,
                '{is_active,active,is_enabled,enabled,is_published,published,is_available,
                available}'
            )
        ) as w (thing, role, kinds, asks, names)
    ),

    -- What takes a row out of service, whatever else is said of it; of favourites also what keeps one
    -- (of mechanics and plans that is read below). A request may be blocked and go on.
    gone as (
        select
            c.relation,
            c.name,
            case
                when c.kind = 'time' then 'is null'
                when c.kind <> 'boolean' then '= ''active'''
                when c.said ~ 'active|enabled|fav|liked' then 'is not false'
                else 'is not true'
            end as test
        from columns as c
        where
            (c.role <> 'requests' or c.said ~ 'deleted|archived|removed')
            and (
                (
                    c.kind = 'time'
                    and c.said in (
                        'deleted_at', 'archived_at', 'removed_at', 'suspended_at', 'banned_at',
                        'blocked_at', 'disabled_at', 'deactivated_at'
                    )
                )
                or (
                    c.kind = 'boolean'
                    and c.said
                    ~ '^(is_)?(deleted|archived|removed|suspended|banned|blocked|disabled)$'
                )
                or (
                    c.role = 'favorites'
                    and case c.kind
                        when 'time' then c.said ~ '^(un\w+|ended|revoked|cancell?ed|inactivated)_at$'
                        when 'boolean' then c.said ~ '^(is_)?(active|enabled|favou?rite|liked)$'
                        when 'text' then c.said ~ 'status|state' and 'active' = any(c.known)
                        when 'enum' then c.said ~ 'status|state' and 'active' = any(c.known)
                    end
                )
            )
    ),

    session_types as (
        select c.known, c.type, c.known_from from columns as c
        where c.role = 'requests' and c.name = 'session_type'
    ),

    -- (thing, column, rank: the smallest is best, plausible, evidence)
    readings as (
        select
            n.thing, c.relation, c.name,
            array[array_position(n.names, c.said)] as rank,
            n.asks as plausible,
            'by its name' as evidence
        from names as n
        inner join columns as c
            on c.role = n.role and c.kind = any(n.kinds) and c.said = any(n.names)

        union all
        -- The user who is the mechanic; who made or approved the row is another.
        select
            'user_id', c.relation, c.name,
            array[
                (c.said ~ '(_by|_by_id)$')::integer,
                case when c.is_user then 1 when c.users > 0 then 2 else 3 end,
                coalesce(c."rows" > 0 and c.filled = 0, false)::integer,
                (not c.is_unique)::integer,
                coalesce(
                    array_position(
                        array[
                            'id', 'user_id', 'auth_user_id', 'auth_id', 'profile_id', 'account_id'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            c.said !~ '(_by|_by_id)$' and (c.is_user or c.users > 0),
            coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'mechanics' and c.kind = 'uuid'
            and (
                c.is_user
                or (
                    c.points_to is null
                    and (
                        c.users > 0
                        or (
                            c.said ~ '^(user|auth_user|auth|profile|account|owner)_id$'
                            and coalesce(c.filled, 0) = 0
                        )
                    )
                )
            )

        union all
        -- Whether a mechanic is approved. A word that a CHECK, an enum or the values know is best.
        select
            'approval', c.relation, c.name,
            array[
                case
                    when c.kind in ('text', 'enum')
                        then
                            coalesce(
                                array_position(
                                    array['approved', '', 'verified', 'active'], w.lowered
                                ),
                                6
                            )
                    when c.kind = 'time' then 5
                    when c.said ~ 'approved' then 2
                    when c.said ~ 'verified|vetted' then 3
                    else 7
                end,
                coalesce(
                    array_position(
                        array[
                            'approval_status', 'application_status', 'verification_status',
                            'status', 'is_approved', 'approved', 'is_verified', 'verified'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            (c.kind in ('text', 'enum') and w.word is not null)
            or (c.kind = 'boolean' and c.said !~ 'active'),
            case
                when w.word is not null
                    then format('its %s %s', c.known_from, array_to_string(c.known, ', '))
                when c.kind in ('text', 'enum') then 'by its name; no value is known'
                else format('by its name, a %s', c.kind)
            end
        from columns as c
        left join lateral (
            select k.word, lower(k.word) as lowered from unnest(c.known) as k (word)
            where lower(k.word) in ('approved', 'verified', 'active')
            order by array_position(array['approved', 'verified', 'active'], lower(k.word)) limit 1
        ) as w on c.kind in ('text', 'enum')
        where
            c.role = 'mechanics'
            and (
                (
                    c.kind in ('text', 'enum')
                    and c.said ~ '^\w*(status|approval|verification|vetting|state)\w*$'
                    -- Of others' accounts and of presence "active" is said too.
                    and (
                        w.lowered = 'approved'
                        or c.said !~ 'avail|online|presence|stripe|pay|subscr'
                    )
                    and (w.word is not null or coalesce(cardinality(c.known), 0) = 0)
                )
                or (
                    c.kind = 'boolean'
                    and c.said ~ '^(is_|admin_)?(approved|verified|vetted|active)$'
                )
                or (c.kind = 'time' and c.said in ('approved_at', 'verified_at'))
            )

        union all
        select
            'is_online', c.relation, c.name, array[9, c.attnum], true,
            format('its %s %s', c.known_from, array_to_string(c.known, ', '))
        from columns as c
        where
            c.role = 'mechanics' and c.kind in ('text', 'enum')
            and c.said ~ 'avail|online|presence' and c.known && array['online', 'available']

        union all
        -- A list, a text or a JSON array.
        select
            'brands', c.relation, c.name,
            array[
                case when c.said ~* 'brand' then 1 when c.said ~* 'make' then 2 else 3 end,
                array_position(array['list', 'json', 'text'], c.kind), c.attnum
            ],
            false, 'by its name, ' || c.type
        from columns as c
        where
            c.role = 'mechanics' and c.kind in ('list', 'json', 'text')
            and c.said ~* '\m(\w+_)?(brands?|makes?|speciali\w+|specialt\w+)(_\w+)?\M'
            and c.said !~* '(url|logo|_id)$'

        union all
        -- Favourites: the mechanic, by whichever of their ids.
        select
            'favorite_mechanic', c.relation, c.name,
            array[
                case
                    when c.to_mechanics is not null then 1
                    when c.points_to is null and c.mechanics > 0 then 2
                    when c.is_user or c.users > 0 then 3
                    else 4
                end,
                (c.said !~ 'mechanic')::integer, c.attnum
            ],
            false, coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'favorites' and c.kind = 'uuid'
            and (
                c.to_mechanics is not null
                or (
                    c.points_to is null and c.mechanics > 0
                    and c.said !~ '^(id|customer_id|user_id)$'
                )
                or (
                    c.said ~ 'mechanic|fav'
                    and (c.is_user or (c.points_to is null and c.users > 0))
                )
                or (c.said ~ 'mechanic' and c.points_to is null and coalesce(c.filled, 0) = 0)
                -- What another column says is a mechanic's.
                or (
                    c.said ~ '_id$' and c.points_to is null and coalesce(c.filled, 0) = 0
                    and c.said !~ '^(customer|user|client|profile|owner)_id$'
                    and exists (
                        select from columns as k
                        where
                            k.relation = c.relation and k.kind in ('text', 'enum')
                            and 'mechanic' = any(k.known)
                    )
                )
            )

        union all
        select
            'favorite_customer', c.relation, c.name,
            array[
                coalesce(
                    array_position(
                        array['customer_id', 'user_id', 'client_id', 'profile_id', 'owner_id'],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            false, coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'favorites' and c.kind = 'uuid' and c.said !~ 'mechanic|fav|_by$'
            and (
                c.is_user
                or (
                    c.points_to is null
                    and (
                        c.users > 0
                        or (c.said ~ 'customer|user|client|profile' and coalesce(c.filled, 0) = 0)
                    )
                )
            )

        union all
        -- Plans: what plan_code of a request holds.
        select
            'code', c.relation, c.name,
            array[
                (q.name is null)::integer,
                -coalesce(c.codes, 0)::integer,
                (not c.is_unique)::integer,
                coalesce(
                    array_position(
                        array[
                            'code', 'plan_code', 'slug', 'key', 'sku', 'handle', 'identifier', 'id'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            c.said <> 'id' and coalesce(c.codes, 0) = 0 and q.name is null,
            case
                when q.name is not null then 'by foreign key from session_requests.plan_code'
                when c.codes > 0
                    then
                        format(
                            '%s of the %s plan_codes of session_requests are values of it',
                            c.codes, current_setting('discover.plan_codes')
                        )
                else 'by its name'
            end
        from columns as c
        left join columns as q
            on
                q.role = 'requests' and q.name = 'plan_code'
                and q.points_to = format('%s (%I)', c.relation, c.name)
        where
            c.role = 'plans' and c.kind in ('text', 'uuid', 'integer', 'enum')
            and (
                c.codes > 0
                or q.name is not null
                or c.said in (
                    'code', 'plan_code', 'slug', 'key', 'sku', 'handle', 'identifier', 'id'
                )
            )

        union all
        select
            'session_type', c.relation, c.name,
            array[
                case
                    when c.type = t.type and c.kind = 'enum' then 1
                    when c.said ~ 'session' then 2
                    else 3
                end,
                c.attnum
            ],
            true,
            case
                when cardinality(c.known) > 0
                    then format('its %s %s', c.known_from, array_to_string(c.known, ', '))
                else 'by its name'
            end
        from columns as c
        left join session_types as t on true
        where
            c.role = 'plans' and c.kind in ('text', 'enum')
            and (
                c.said in ('session_type', 'session_kind')
                or (c.kind = 'enum' and c.type = t.type)
                or (
                    c.said ~ 'type|kind|mode|category' and cardinality(c.known) > 0
                    and c.known <@ t.known
                )
            )

        union all
        -- The price: what is said to be in minor units, then what is not.
        select
            'price', c.relation, c.name,
            array[
                case
                    when c.said ~ '(cents?|minor|pence)$|^unit_amount' then 1
                    when c.said ~ '^(price|amount)$' then 2
                    else 3
                end,
                c.attnum
            ],
            c.said !~ '(cents?|minor|pence)$|^unit_amount',
            'by its name'
        from columns as c
        where
            c.role = 'plans' and c.kind in ('integer', 'numeric') and c.points_to is null
            and c.said ~ 'price|amount|cents|pence|cost|fee$'
            and c.said !~ 'old|original|compare|discount|tax|count|max|min_|payout|_id$'
    ),

    -- Which table the favourites are, and which the plans: those that have what it takes.
    places as (
        select
            t.role,
            t.relation,
            t.relname,
            array[
                (t.relname not in ('service_plans', 'customer_favorites'))::integer,
                -- The plan_codes of the requests are in it, or the requests point to it.
                -(t.role = 'plans' and t.codes > 0)::integer,
                -t.is_pointed_to::integer,
                case
                    when t.role = 'plans' then (t.relname !~* 'plan')::integer
                    else t.mechanic_rank
                end
            ] as rank
        from (
            select
                c.role,
                c.relation,
                c.relname,
                coalesce(max(c.codes), 0) as codes,
                bool_or(coalesce(c.codes, 0) > 0)
                or exists (
                    select from columns as q
                    where
                        q.role = 'requests' and q.name = 'plan_code'
                        and starts_with(q.points_to, c.relation || ' (')
                ) as is_booked,
                exists (
                    select from columns as q
                    where q.role = 'requests' and starts_with(q.points_to, c.relation || ' (')
                ) as is_pointed_to,
                (
                    select min(r.rank[1]) from readings as r
                    where r.thing = 'favorite_mechanic' and r.relation = c.relation
                ) as mechanic_rank,
                case c.role
                    when 'plans'
                        then
                            exists (
                                select from readings as r
                                where r.thing = 'code' and r.relation = c.relation
                            )
                            and exists (
                                select from readings as r
                                where
                                    r.relation = c.relation
                                    and (
                                        r.thing = 'price'
                                        or (r.thing = 'title' and c.relname = 'service_plans')
                                    )
                            )
                    when 'favorites'
                        then exists (
                            select from readings as r, readings as s
                            where
                                r.relation = c.relation and s.relation = c.relation
                                and r.thing = 'favorite_mechanic' and s.thing = 'favorite_customer'
                                and r.name <> s.name
                        )
                end as is_usable
            from columns as c
            group by c.role, c.relation, c.relname
        ) as t
        -- What plan_code holds are the plans, wherever their price is.
        where t.is_usable or (t.role = 'plans' and t.is_booked)
    ),

    ranked as (
        select
            p.*,
            rank() over (partition by p.role order by p.rank) as place,
            row_number() over (partition by p.role order by p.rank, p.relname) as number
        from places as p
    ),

    taken as (
        select
            r.thing,
            jsonb_agg(
                to_jsonb(c) || jsonb_build_object('evidence', r.evidence, 'plausible', r.plausible)
                order by r.rank
            ) as candidates
        from readings as r
        inner join columns as c on c.relation = r.relation and c.name = r.name
        where
            c.role not in ('favorites', 'plans')
            or exists (
                select from ranked as p
                where p.number = 1 and p.role = c.role and p.relation = c.relation
            )
        group by r.thing
    )

    select
        (select jsonb_object_agg(t.thing, t.candidates) from taken as t),
        (
            select jsonb_object_agg(p.role, p.relations)
            from (
                select r.role, jsonb_agg(r.relation order by r.number) as relations
                from ranked as r
                where r.place = 1
                group by r.role
            ) as p
        ),
        (select jsonb_agg(to_jsonb(g)) from gone as g)
    into v_readings, v_places, v_gone;

    perform set_config('discover.readings', coalesce(v_readings, '{}')::text, true);
    perform set_config('discover.places', coalesce(v_places, '{}')::text, true);
    perform set_config('discover.gone', coalesce(v_gone, '[]')::text, true);
end;
$read$;

-- 3. Judge. A table that only bears the name is left alone, and all that is in the way is said at
-- once.
do $judge$
declare
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
    v_places constant jsonb := current_setting('discover.places');
    v_words constant text[] := '{pending,accepted,cancelled,expired,completed}';
    v_problems text[] := '{}';
    v_columns_of jsonb;
    v_lacks text[];
    v_column jsonb;
    v_default text;
    t record;
begin
    if to_regclass('public.mechanics') is null and to_regclass('public.session_requests') is null
    then
        v_problems := array[
            'there is no marketplace here: public.mechanics and public.session_requests are '
            'missing. Who has none runs sql/marketplace/up.sql.'
        ];
    end if;
    for t in
        select
            w.name, w.is_needed, c.oid::regclass as relation, c.relkind
        from (
            values
            (1, 'mechanics', true), (2, 'session_requests', true),
            (3, 'customer_favorites', false), (4, 'service_plans', false)
        ) as w (number, name, is_needed)
        left join pg_catalog.pg_class as c on c.oid = to_regclass('public.' || w.name)
        order by w.number
    loop
        if t.relation is null then
            if t.is_needed and not v_problems[1] ~ '^there is no marketplace' is true then
                v_problems := v_problems || format('public.%s is missing.', t.name);
            end if;
            continue;
        end if;
        if t.is_needed and t.relkind <> 'r' then
            v_problems := v_problems
                || format('%s is not an ordinary table: triggers cannot be put on it.', t.relation);
            continue;
        end if;

        select coalesce(jsonb_object_agg(e.value ->> 'name', e.value), '{}') into v_columns_of
        from jsonb_array_elements(v_columns) as e
        where e.value ->> 'relation' = t.relation::text;
        v_lacks := '{}';
        case t.name
            when 'mechanics' then
                v_column := v_columns_of -> 'id';
                if
                    not coalesce(
                        v_column ->> 'kind' = 'uuid' and (v_column ->> 'is_unique')::boolean, false
                    )
                then
                    v_lacks := v_lacks || 'an id (uuid, its key)'::text;
                end if;
                if v_readings -> 'user_id' is null then
                    v_lacks := v_lacks
                        || 'the user who is the mechanic (uuid, of auth.users)'::text;
                end if;
            when 'customer_favorites' then
                if v_places -> 'favorites' is null then
                    v_lacks := '{"a user (uuid, of auth.users)","a mechanic (uuid)"}';
                end if;
            when 'service_plans' then
                if v_places -> 'plans' is null then
                    v_lacks := '{"a code or a slug, and a price or a title"}';
                end if;
            else
                v_column := v_columns_of -> 'id';
                if v_column ->> 'kind' is distinct from 'uuid' then
                    v_lacks := v_lacks || 'an id (uuid)'::text;
                end if;
                if v_columns_of #>> '{created_at,kind}' is distinct from 'time' then
                    v_lacks := v_lacks || 'created_at (a time)'::text;
                end if;
                v_column := v_columns_of -> 'customer_id';
                if
                    not coalesce(
                        v_column ->> 'kind' = 'uuid'
                        and (
                            (v_column ->> 'is_user')::boolean
                            or (
                                v_column ->> 'points_to' is null
                                and (
                                    coalesce((v_column ->> 'filled')::bigint, 0) = 0
                                    or (v_column ->> 'users')::bigint > 0
                                )
                            )
                        ),
                        false
                    )
                then
                    v_lacks := v_lacks || 'customer_id (uuid, of auth.users)'::text;
                end if;
                v_column := v_columns_of -> 'mechanic_id';
                if
                    not coalesce(
                        v_column ->> 'kind' = 'uuid'
                        and (
                            (v_column ->> 'is_user')::boolean
                            or v_column ->> 'to_mechanics' is not null
                            or (
                                v_column ->> 'points_to' is null
                                and (
                                    coalesce((v_column ->> 'filled')::bigint, 0) = 0
                                    or (v_column ->> 'users')::bigint > 0
                                    or (v_column ->> 'mechanics')::bigint > 0
                                )
                            )
                        ),
                        false
                    )
                then
                    v_lacks := v_lacks || 'mechanic_id (uuid, of auth.users or mechanics)'::text;
                end if;
                if
                    not coalesce(v_columns_of #>> '{session_type,kind}' in ('text', 'enum'), false)
                then
                    v_lacks := v_lacks || 'session_type (text or enum)'::text;
                end if;
                v_column := v_columns_of -> 'status';
                select pg_get_expr(d.adbin, d.adrelid) into v_default
                from pg_catalog.pg_attrdef as d
                inner join pg_catalog.pg_attribute as a
                    on a.attrelid = d.adrelid and a.attnum = d.adnum
                where d.adrelid = t.relation and a.attname = 'status';
                if
                    not coalesce(
                        v_column ->> 'kind' in ('text', 'enum')
                        and case
                            when v_column ->> 'words' is not null
                                then v_column -> 'words' ?& v_words
                            -- What a request begins with is what pending is called here.
                            when v_default ~ '^''' and v_default !~ '^''pending'''
                                then v_column -> 'vals' ? 'pending'
                            when (v_column ->> 'filled')::bigint > 0
                                then v_column -> 'vals' ?| v_words
                            else true
                        end,
                        false
                    )
                then
                    v_lacks := v_lacks
                        || concat(
                            'status (text or enum) that knows ', array_to_string(v_words, ', '),
                            case
                                when v_default !~ '^''pending'''
                                    then
                                        ' (a request begins as '
                                        || substring(v_default from '^''[^'']+''') || ')'
                            end
                        );
                end if;
        end case;

        if cardinality(v_lacks) > 0 then
            v_problems := v_problems || format(
                case
                    when t.is_needed and cardinality(v_lacks) = 1
                        then '%s is not one that can be bound: it has %s; needed is %s.'
                    else '%s is another table: it has %s; a marketplace''s has %s.'
                end,
                t.relation,
                (
                    select
                        string_agg(
                            format(
                                '%s (%s%s)', e.value ->> 'name', e.value ->> 'type',
                                case
                                    when e.value ->> 'words' is not null
                                        then
                                            ': ' || (
                                                select string_agg(w.value, ', ')
                                                from jsonb_array_elements_text(e.value -> 'words')
                                                    as w
                                            )
                                    else ''
                                end
                            ),
                            ', ' order by (e.value ->> 'attnum')::integer
                        )
                    from jsonb_each(v_columns_of) as e
                ),
                array_to_string(v_lacks, ', ')
            );
        end if;
    end loop;

    if cardinality(v_problems) > 0 then
        raise object_not_in_prerequisite_state using message = E'nothing was written.\n'
            || array_to_string(v_problems, E'\n');
    end if;
end;
$judge$;

-- 4. Bind. What each column of the binding is, as an expression; what was found, in words; and what
-- has to be asked.
do $bind$
declare
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
    v_places constant jsonb := current_setting('discover.places');
    -- Known by the comment that sql/marketplace/tables.sql gives it.
    v_ours constant boolean := coalesce(
        obj_description(to_regclass('public.session_requests'), 'pg_class')
        like 'Reference marketplace%',
        false
    );
    v_requests jsonb;
    v_mechanics jsonb;
    v_x jsonb;  -- thing: its column as an expression of the view's type
    v_says jsonb;  -- thing: column and evidence, in words
    v_rivals jsonb;  -- thing: the columns that may be it, too
    v_gone jsonb;  -- relation: what takes a row out of service, as an expression
    v_gone_names text[];
    v_taken_off text;  -- the same of a request
    v_open_to text;  -- what policies ask of who may take one
    v_it jsonb;
    v_word text;
    v_words text[];
    v_by text;
    -- Sub-selects: a row of a view with an outer join could not be locked.
    v_said constant text :=
    E'(\n        select p.is_online from dispatch.presence as p\n'
    '        where p.mechanic_id = m.id\n    )';
    v_heard constant text :=
    E'(\n        select p.last_seen_at from dispatch.presence as p\n'
    '        where p.mechanic_id = m.id\n    )';
    v_is_minor boolean;
    v_units text;  -- of the smallest in a whole one
    v_assigns_user boolean;
    v_key_is_user boolean;
    v_join text := '';
    v_kind text;  -- which favourites are mechanics
    v_beside jsonb;  -- what is not in the columns of mechanics: the tables that may say it
    v_questions text[] := '{}';
begin
    select jsonb_object_agg(e.value ->> 'name', e.value) into v_requests
    from jsonb_array_elements(v_columns) as e
    where e.value ->> 'role' = 'requests';
    select jsonb_object_agg(e.value ->> 'name', e.value) into v_mechanics
    from jsonb_array_elements(v_columns) as e
    where e.value ->> 'role' = 'mechanics';

    select
        jsonb_object_agg(
            r.key,
            format(
                '%s.%I%s',
                case r.best ->> 'role' when 'mechanics' then 'm' when 'plans' then 'p' else 'f' end,
                r.best ->> 'name',
                case
                    when r.best ->> 'kind' in ('text', 'enum') and r.best ->> 'type' <> 'text'
                        then '::text'
                    when r.best ->> 'base_type' = 'timestamp without time zone'
                        then ' at time zone ''UTC'''
                    -- A domain.
                    when r.best ->> 'kind' = 'time'
                        and r.best ->> 'type' !~ '^timestamp\M' then '::timestamptz'
                    when r.best ->> 'kind' = 'uuid' and r.best ->> 'type' <> 'uuid' then '::uuid'
                    else ''
                end
            )
        ),
        jsonb_object_agg(r.key, format('%s: %s', r.best ->> 'name', r.best ->> 'evidence')),
        jsonb_object_agg(
            r.key,
            (
                select string_agg(e.value ->> 'name', ' or ' order by e.ordinality)
                from jsonb_array_elements(r.value) with ordinality as e
                where (e.value ->> 'plausible')::boolean or e.ordinality = 1
                having count(*) > 1
            )
        )
    into v_x, v_says, v_rivals
    from (select d.key, d.value, d.value -> 0 as best from jsonb_each(v_readings) as d) as r;
    v_x := coalesce(v_x, '{}') || jsonb_build_object(
        'id', 'm.id' || case when v_mechanics #>> '{id,type}' <> 'uuid' then '::uuid' else '' end
    );

    select jsonb_object_agg(g.relation, g.expression) into v_gone
    from (
        select
            e.value ->> 'relation' as relation,
            string_agg(
                format('%%1$s.%I %s', e.value ->> 'name', e.value ->> 'test'),
                ' and '
            ) as expression
        from jsonb_array_elements(current_setting('discover.gone')::jsonb) as e
        group by e.value ->> 'relation'
    ) as g;
    v_gone := coalesce(v_gone, '{}');

    -- Mechanics: the user, and whether one is approved.
    v_key_is_user := (v_mechanics #>> '{id,is_user}')::boolean
        or v_readings #>> '{user_id,0,name}' = 'id';
    if v_rivals ->> 'user_id' is not null then
        v_questions := v_questions || format(
            'Which column of mechanics is the user who signs in as that mechanic: %s? Taken: %s. '
            'If it is another, change user_id in dispatch.mechanics.',
            v_rivals ->> 'user_id', v_readings #>> '{user_id,0,name}'
        );
    elsif not (v_readings #>> '{user_id,0,plausible}')::boolean then
        v_questions := v_questions || format(
            'Is mechanics.%s the id of the user who signs in as that mechanic? Only its name says '
            'so. Taken: it is. If not, change user_id in dispatch.mechanics.',
            v_readings #>> '{user_id,0,name}'
        );
    end if;

    v_it := v_readings #> '{user_id,0}';
    if not (v_it ->> 'is_unique')::boolean and v_it -> 'filled' > v_it -> 'differ' then
        v_questions := v_questions || format(
            'Is each user one mechanic? Of the %s rows looked at %s have a %s that another has. '
            'Taken: each is; the calls of a user who is more then act for one of these mechanics, '
            'and a favourite who is another of them cannot accept by a call.',
            v_it ->> 'filled',
            (v_it ->> 'filled')::bigint - (v_it ->> 'differ')::bigint,
            v_it ->> 'name'
        );
    end if;

    v_it := v_readings #> '{approval,0}';
    v_gone_names := array(
        select e.value ->> 'name'
        from jsonb_array_elements(current_setting('discover.gone')::jsonb) as e
        where e.value ->> 'relation' = 'public.mechanics'
    );
    select w.value into v_word from jsonb_array_elements_text(
        case jsonb_typeof(v_it -> 'words')
            when 'array' then v_it -> 'words'
            else coalesce(nullif(v_it -> 'vals', 'null'), '[]')
        end
    ) as w
    where lower(w.value) in ('approved', 'verified', 'active')
    order by array_position(array['approved', 'verified', 'active'], lower(w.value)) limit 1;
    v_by := case
        when v_it is null then 'false'
        when v_it ->> 'kind' = 'time' then format('m.%I is not null', v_it ->> 'name')
        when v_it ->> 'kind' = 'boolean' then format('m.%I', v_it ->> 'name')
        else format('m.%I = %L', v_it ->> 'name', coalesce(v_word, 'approved'))
    end
    || case
        when v_it ->> 'kind' <> 'time' and not (v_it ->> 'not_null')::boolean
            then format(' and m.%I is not null', v_it ->> 'name')
        else ''
    end
    || coalesce(' and ' || format(v_gone ->> 'public.mechanics', 'm'), '');
    v_x := v_x || jsonb_build_object(
        'approval', case when v_by ~ '[ =]' then format('(%s)', v_by) else v_by end
    );
    if v_it is null then
        v_questions := v_questions || 'Which mechanics are approved? No column was found that says '
            'it. Taken: none is, so that nobody is told anything. Write the condition into '
            'is_approved in dispatch.mechanics, and its columns into '
            'dispatch.approval_columns().'::text;
    elsif v_rivals ->> 'approval' is not null then
        v_questions := v_questions || format(
            'Which column of mechanics says that one is approved: %s? Taken: %s. If it is another, '
            'or both, change is_approved in dispatch.mechanics, and dispatch.approval_columns().',
            v_rivals ->> 'approval', v_it ->> 'name'
        );
    -- Of a background check or an insurance one may be approved too, and not as a mechanic.
    elsif
        not (v_it ->> 'plausible')::boolean
        or v_it ->> 'said' !~ ('^((account|admin|application|approval|mechanic|onboarding|profile|'
        'review|verification|vetting)_)?(status|state)$|^(is_|admin_)?(approv|verif|vett)')
    then
        v_questions := v_questions || format(
            'Is a mechanic approved where %s? It was found %s. Taken: yes. If not, change '
            'is_approved in dispatch.mechanics, and dispatch.approval_columns().',
            v_by,
            case
                when v_it ->> 'evidence' ~ '^by' then v_it ->> 'evidence'
                else 'by its words: ' || (v_it ->> 'evidence')
            end
        );
    end if;
    select string_agg(e.key, ', ') into v_word
    from jsonb_each(v_mechanics) as e
    where
        e.value ->> 'kind' = 'boolean' and e.key ~ '^(can_|may_|accept|is_accept|(is_)?active$)'
        and e.key is distinct from v_it ->> 'name';
    if v_word is not null then
        v_questions := v_questions || format(
            'Should a mechanic be told of requests who is approved, but whose %s is false? Taken: '
            'yes. If not, add it to is_approved in dispatch.mechanics, and to '
            'dispatch.approval_columns().',
            v_word
        );
    end if;

    -- Tables beside it that point to mechanics.
    select jsonb_object_agg(t.thing, t.relations) into v_beside
    from (
        select w.thing, string_agg(distinct f.conrelid::regclass::text, ' or ') as relations
        from (
            values ('is_online', 'online|presence|availab|heartbeat'),
            ('brands', 'brand|make|speciali|specialt')
        ) as w (thing, names)
        inner join pg_catalog.pg_constraint as f
            on f.contype = 'f' and f.confrelid = to_regclass('public.mechanics')
        inner join pg_catalog.pg_class as c on c.oid = f.conrelid and c.relname ~* w.names
        where not v_readings ? w.thing
        group by w.thing
    ) as t;
    if v_beside ? 'is_online' then
        v_questions := v_questions || format(
            'Who can be reached now? No column of mechanics says it; %s may. Taken: who said so by '
            'set_presence(). If the table says it, change is_online and last_seen_at in '
            'dispatch.mechanics.',
            v_beside ->> 'is_online'
        );
    end if;
    if v_beside ? 'brands' then
        v_questions := v_questions || format(
            'Which brands does a mechanic know? No column of mechanics says it; %s may. Taken: '
            'none. If the table says it, change brands in dispatch.mechanics to array(select …).',
            v_beside ->> 'brands'
        );
    end if;

    -- Presence.
    v_it := v_readings #> '{is_online,0}';
    v_by := case
        when v_it is null then 'false'
        when v_it ->> 'kind' <> 'boolean'
            then format('coalesce(m.%I in (%s), false)', v_it ->> 'name', (
                select string_agg(quote_literal(w.value), ', ')
                from jsonb_array_elements_text(
                    case jsonb_typeof(v_it -> 'words')
                        when 'array' then v_it -> 'words' else v_it -> 'vals'
                    end
                ) as w
                where w.value in ('online', 'available')
            ))
        when (v_it ->> 'not_null')::boolean then format('m.%I', v_it ->> 'name')
        else format('coalesce(m.%I, false)', v_it ->> 'name')
    end;
    v_x := v_x || jsonb_build_object(
        'is_online', case
            when v_ours then v_by
            when v_it is null then 'coalesce(' || v_said || ', false)'
            -- That one is online is said here or there: the later word holds. That one is available,
            -- or takes sessions, is theirs to say besides.
            when v_it ->> 'said' ~ 'online|presence'
                then format(
                    E'coalesce((\n        select p.is_online from dispatch.presence as p\n'
                    '        where p.mechanic_id = m.id%s\n    ), %s)',
                    E'\n        and p.last_seen_at >= coalesce('
                    || (v_x ->> 'last_seen_at') || ', ''-infinity'')',
                    v_by
                )
            else format('(coalesce(%s, true) and %s)', v_said, v_by)
        end,
        'last_seen_at', case
            when v_ours then coalesce(v_x ->> 'last_seen_at', 'null::timestamptz')
            when v_x ->> 'last_seen_at' is null then v_heard
            else format('greatest(%s, %s)', v_heard, v_x ->> 'last_seen_at')
        end
    );
    if v_rivals ->> 'is_online' is not null then
        v_questions := v_questions || format(
            'Which column of mechanics says that one can be reached now: %s? Taken: %s. If it is '
            'another, change is_online in dispatch.mechanics.',
            v_rivals ->> 'is_online', v_it ->> 'name'
        );
    end if;

    -- The rest of a mechanic.
    v_it := v_readings #> '{brands,0}';
    v_x := v_x || jsonb_build_object(
        'display_name', case
            when v_x ->> 'display_name' is null then 'null::text'
            when v_readings #>> '{display_name,0,name}' = 'first_name' and v_mechanics ? 'last_name'
                then 'concat_ws('' '', m.first_name, m.last_name)'
            else v_x ->> 'display_name'
        end,
        'brands', case
            when v_it is null then '''{}''::text[]'
            when v_it ->> 'type' = 'text[]' then format('m.%I', v_it ->> 'name')
            when v_it ->> 'kind' = 'list' then format('m.%I::text[]', v_it ->> 'name')
            when v_it ->> 'kind' = 'json'
                then
                    format(
                        E'case\n        when %2$s_typeof(m.%1$I) = ''array''\n'
                        '            then array(select %2$s_array_elements_text(m.%1$I))\n    end',
                        v_it ->> 'name', v_it ->> 'base_type'
                    )
            else format('regexp_split_to_array(m.%I, ''\s*,\s*'')', v_it ->> 'name')
        end,
        'city', coalesce(v_x ->> 'city', 'null::text'),
        'country', coalesce(v_x ->> 'country', 'null::text')
    );
    if v_x ->> 'display_name' = 'null::text' then
        -- Not taken: its policies may hide from customers what a banner would show.
        select
            format(
                '(select p.%I from %s as p where p.%I = m.%I)',
                (array_agg(n.attname order by w.number))[1], f.confrelid::regclass, y.attname, a.attname
            )
        into v_word
        from pg_catalog.pg_constraint as f
        inner join pg_catalog.pg_attribute as a
            on a.attrelid = f.conrelid and array[a.attnum] = f.conkey
        inner join pg_catalog.pg_attribute as y
            on y.attrelid = f.confrelid and array[y.attnum] = f.confkey
        inner join pg_catalog.pg_attribute as n on n.attrelid = f.confrelid and not n.attisdropped
        inner join (
            values (1, 'display_name'), (2, 'full_name'), (3, 'name'), (4, 'username'),
            (5, 'first_name')
        ) as w (number, name) on w.name = n.attname
        where
            f.contype = 'f' and f.conrelid = to_regclass('public.mechanics')
            -- A person's, by the key of a user; not their workshop's.
            and exists (
                select from pg_catalog.pg_constraint as u
                where
                    u.contype = 'f' and u.conrelid = f.confrelid and u.conkey = f.confkey
                    and u.confrelid = to_regclass('auth.users')
            )
        group by f.confrelid, y.attname, a.attname
        limit 1;
        v_questions := v_questions || concat(
            'What is a mechanic called? No column was found that says it. Taken: nothing, so that '
            'a banner has no name. Change display_name in dispatch.mechanics',
            ', if customers may see this to ' || v_word, '.'
        );
    end if;

    -- Who books. (That it can be a user's id is judged already.)
    v_it := v_requests -> 'customer_id';
    select string_agg(distinct p.policyname, ', ') into v_word
    from pg_catalog.pg_policies as p
    where
        p.schemaname = 'public' and p.tablename = 'session_requests'
        and concat_ws(' ', p.qual, p.with_check)
        ~ '\mcustomer_id = (auth\.uid\(\)|\( SELECT auth\.uid\(\))';
    v_by := concat_ws(
        '; ',
        'by foreign key to ' || (v_it ->> 'points_to'),
        'by policies that compare it with auth.uid(): ' || v_word,
        case
            when (v_it ->> 'users')::bigint > 0
                then format('%s of %s values are users'' ids', v_it ->> 'users', v_it ->> 'filled')
        end
    );
    v_says := v_says || jsonb_build_object('customer', coalesce(nullif(v_by, ''), 'by its name'));
    if v_by = '' then
        v_questions := v_questions || 'Is session_requests.customer_id the id of the user who '
            'books? There is no foreign key, no policy and no value to tell. Taken: it is. If not, '
            'do not install: the engine would tell the wrong people.'::text;
    end if;

    -- A window opens with the booking, which must then be one to accept.
    select pg_get_expr(d.adbin, d.adrelid) into v_word
    from pg_catalog.pg_attrdef as d
    inner join pg_catalog.pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = to_regclass('public.session_requests') and a.attname = 'status';
    if v_word !~ '^''pending''' then
        v_questions := v_questions || format(
            'Is a booking that names a favourite inserted as pending? By default '
            'session_requests.status is %s. Taken: it is. If it becomes pending later, no window '
            'opens: let that INSERT say pending.',
            v_word
        );
    end if;

    -- What a clock of theirs writes without a zone is the zone's that the database has.
    if
        timestamptz '2026-01-01Z' <> timestamptz '2026-01-01'
        or timestamptz '2026-07-01Z' <> timestamptz '2026-07-01'
    then
        select string_agg(e.value ->> 'relation' || '.' || (e.value ->> 'name'), ', ')
        into v_word
        from jsonb_array_elements(v_columns) as e
        where
            e.value ->> 'base_type' = 'timestamp without time zone'
            and (
                (
                    e.value ->> 'role' = 'requests'
                    and e.value ->> 'name' in ('created_at', 'accepted_at', 'expires_at')
                )
                or (e.value ->> 'relation', e.value ->> 'name') in (
                    (
                        v_readings #>> '{last_seen_at,0,relation}',
                        v_readings #>> '{last_seen_at,0,name}'
                    ),
                    (
                        v_readings #>> '{favorited_at,0,relation}',
                        v_readings #>> '{favorited_at,0,name}'
                    )
                )
            )
            and not exists (
                select from pg_catalog.pg_attrdef as d
                where
                    d.adrelid = to_regclass(e.value ->> 'relation')
                    and d.adnum = (e.value ->> 'attnum')::integer
                    and pg_get_expr(d.adbin, d.adrelid) ~* '''utc'''
            );
        if v_word is not null then
            v_questions := v_questions || format(
                'Are the times in %s UTC''s? They have no time zone, and here now() writes those of '
                '%s. Taken: they are UTC''s. If not, a request is taken to end hours too early or '
                'too late, and perhaps nobody can accept one: let these columns be timestamptz '
                'before you install.',
                v_word, current_setting('timezone')
            );
        end if;
    end if;

    select
        string_agg(
            format(
                'r.%I %s', e.value ->> 'name',
                case e.value ->> 'test' when 'is null' then 'is not null' else 'is true' end
            ),
            ' or '
        ),
        string_agg(e.value ->> 'name', ', ') filter (where e.value ->> 'name' !~* 'deleted')
    into v_taken_off, v_word
    from jsonb_array_elements(current_setting('discover.gone')::jsonb) as e
    where e.value ->> 'relation' = 'public.session_requests';
    if v_word is not null then
        v_questions := v_questions || format(
            'Does %s take a request off that nobody has completed? Only its name says so. Taken: a '
            'pending or accepted one is then cancelled. If not, change dispatch.taken_off().',
            v_word
        );
    end if;

    -- Policies that read more of a request than whose it is, what became of it and when show it to
    -- some mechanics alone; and so do those that ask more of the caller than whether they are an
    -- approved mechanic: a tier, a table of subscriptions, a claim of their token. (What says nothing
    -- of the status is an administrator's.) All of their command are copied, as they are asked
    -- together: any of the permissive ones, each of the restrictive ones. Unless none of these lets
    -- mechanics do it: who takes requests past the policies would else have nobody take one. The
    -- reference marketplace has a rule of its own.
    with known as (
        select
            array_remove(
                array[
                    'id', v_readings #>> '{user_id,0,name}', v_readings #>> '{approval,0,name}',
                    v_readings #>> '{is_online,0,name}', v_readings #>> '{last_seen_at,0,name}'
                ],
                null
            ) || v_gone_names as names
    ),

    -- What the text of a function names besides: tables, columns of mechanics, other functions.
    further as (
        select c.relname::text as word
        from pg_catalog.pg_class as c
        where
            c.relkind in ('r', 'p', 'v', 'm', 'f')
            and c.oid <> to_regclass('public.mechanics')
            and c.relnamespace::regnamespace::text
            not in ('pg_catalog', 'information_schema', 'dispatch')
        union
        select a.attname::text
        from pg_catalog.pg_attribute as a
        cross join known as k
        where
            a.attrelid = to_regclass('public.mechanics') and a.attnum > 0
            and a.attname::text <> all(k.names)
        union
        select f.proname::text
        from pg_catalog.pg_proc as f
        where
            f.pronamespace::regnamespace::text
            not in ('pg_catalog', 'information_schema', 'dispatch')
            and (f.pronamespace::regnamespace::text, f.proname::text) not in (
                ('auth', 'uid'), ('auth', 'role')
            )
            -- pgTAP has one named "is", Supabase's Realtime "cast".
            and not exists (
                select from pg_catalog.pg_depend as d
                where
                    d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = f.oid
                    and d.deptype = 'e'
            )
            and not exists (
                select from pg_get_keywords() as y
                where y.word = f.proname::text and y.catcode in ('R', 'C')
            )
    ),

    all_policies as (
        select
            p.oid,
            p.polname,
            p.polpermissive,
            c.command,
            -- Of whoever runs the RPCs it would say nothing of their callers.
            regexp_replace(
                pg_get_expr(p.polqual, p.polrelid),
                '(^|[[( ])CURRENT_(USER|ROLE)(?=$|[]), ])', '\1''authenticated''::name', 'g'
            ) as condition,
            array(
                select a.attname::text
                from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_attribute as a
                    on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                where
                    d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
                    and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid = p.polrelid
                    and a.attname not in (
                        'customer_id', 'mechanic_id', 'status', 'preferred_mechanic_id',
                        'priority_window_minutes'
                    )
                    and a.atttypid not in ('timestamptz'::regtype, 'timestamp'::regtype)
                    and not exists (
                        select
                        from jsonb_array_elements(current_setting('discover.gone')::jsonb) as e
                        where
                            e.value ->> 'relation' = 'public.session_requests'
                            and e.value ->> 'name' = a.attname
                    )
                union
                -- Of which no column is noted.
                select 'the whole row'
                where pg_get_expr(p.polqual, p.polrelid) ~ '\msession_requests\.\*'
                order by 1
            ) as names,
            array(
                select d.refobjid::regclass::text || '.' || a.attname
                from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_attribute as a
                    on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                cross join known as k
                where
                    d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
                    and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid <> p.polrelid
                    and not (
                        d.refobjid = to_regclass('public.mechanics')
                        and a.attname::text = any(k.names)
                    )
                union
                select d.refobjid::regproc::text
                from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_proc as f on f.oid = d.refobjid
                where
                    d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
                    and d.refclassid = 'pg_catalog.pg_proc'::regclass
                    and d.refobjid::regproc::text not in ('auth.uid', 'auth.role')
                    and (
                        f.pronamespace = to_regnamespace('auth')
                        or exists (
                            select
                            from
                                regexp_split_to_table(
                                    lower(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc)),
                                    '\W+'
                                ) as t (word)
                            inner join further as r on lower(r.word) = t.word
                            where r.word <> f.proname
                        )
                    )
                union
                -- Which is noted of nothing that every database has.
                select 'current_setting'
                where
                    pg_get_expr(p.polqual, p.polrelid)
                    ~ '\mcurrent_setting\(''(?!request\.jwt\.claim\.(sub|role)'')'
                order by 1
            ) as looks,
            exists (
                select from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_attribute as a
                    on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                where
                    d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
                    and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid = p.polrelid and a.attname = 'status'
            ) as is_of_status
        from pg_catalog.pg_policy as p
        inner join pg_catalog.pg_class as t on t.oid = p.polrelid and t.relrowsecurity
        inner join (values (1, 'r'), (2, 'w')) as c (command, letter)
            on p.polcmd::text in (c.letter, '*')
        where
            p.polrelid = to_regclass('public.session_requests')
            and p.polqual is not null
            and p.polname <> 'dispatch_reserved'
            and not v_ours
            and exists (
                select from unnest(p.polroles) as o (role)
                where
                    o.role = 0
                    or pg_has_role(to_regrole('authenticated')::oid, o.role, 'usage')
            )
    ),

    -- One that has nothing in its place is not the mechanics' if it compares its customer or its
    -- mechanic with the caller, is of an administrator by its words, or of other requests than
    -- pending ones. (A column of another table has that before its name.)
    policies as (
        select
            p.*,
            p.condition !~ '\m(OR|CASE)\M|\(NOT '
            and (
                p.condition
                ~ ('(^|[( ])(customer_id =|mechanic_id (=|IN \())'
                    '|auth\.uid\(\)( AS uid\))? = (customer_id|mechanic_id)\M')
                or (
                    p.condition
                    ~ '= session_requests\.customer_id\M|\msession_requests\.customer_id ='
                    and p.condition !~* 'mechanic'
                )
                or (
                    p.polpermissive
                    -- (Not by an administrative area.)
                    and p.condition
                    ~* '(admin|moderator|administrator)s?\M|\madmin_(user|role|member)|service_role'
                    and replace(p.condition, 'mechanic_id', '') !~* 'mechanic'
                )
                or (
                    p.condition ~ '(^|[( ])status = (''|ANY )' and p.condition !~ '''pending'''
                )
            ) as is_anothers
        from all_policies as p
    ),

    narrow as (
        select p.*
        from policies as p
        where
            not p.is_anothers
            and (
                p.names <> '{}' or (p.looks <> '{}' and (p.is_of_status or not p.polpermissive))
            )
            and exists (
                select from policies as o
                where
                    o.command = p.command and o.polpermissive and not o.is_anothers
                    and (p.names <> '{}' or o.is_of_status)
            )
    ),

    conditions as (
        select
            concat_ws(
                ' and ',
                '('
                || string_agg(p.condition, ' or ' order by p.polname) filter (where p.polpermissive)
                || ')',
                string_agg(p.condition, ' and ' order by p.polname)
                filter (where not p.polpermissive)
            ) as condition
        from policies as p
        where p.command in (select n.command from narrow as n)
        group by p.command
        order by p.command
    )

    select
        (select string_agg(c.condition, ' and ') from conditions as c),
        (
            select
                format(
                    '%s, which %s',
                    string_agg(distinct n.polname, ', '),
                    'read '
                    || (
                        select string_agg(distinct r.name, ', ')
                        from narrow as m
                        cross join unnest(m.names || m.looks) as r (name)
                    )
                )
            from narrow as n
        ),
        -- As what runs the RPCs sees them. (What a function looks up its text may not say.)
        (
            select string_agg(distinct r.oid::regclass::text, ', ')
            from policies as p
            inner join pg_catalog.pg_depend as d
                on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
            inner join pg_catalog.pg_class as r
                on
                    d.refclassid = 'pg_catalog.pg_class'::regclass and r.oid = d.refobjid
                    and r.relrowsecurity and r.oid <> to_regclass('public.session_requests')
            where p.command in (select n.command from narrow as n)
        )
    into v_open_to, v_word, v_by;
    if v_open_to is not null then
        v_says := v_says || jsonb_build_object('open_to', 'by policies: ' || v_word);
        v_questions := v_questions || format(
            'Who may take a request that is not reserved any more? Policies show such requests to '
            'some mechanics alone: %s. Taken: the RPCs, too, list them and give them to these '
            'alone. If mechanics come by requests past the policies (a server that reads with the '
            'service role), let dispatch.open_to() be ''true''.%s%s',
            v_word,
            case
                when v_open_to ~ '\mjwt\M'
                    then
                        ' Of a token''s claims only what the account says (app_metadata, e-mail) is '
                        'known of a mechanic to whom a push would go: where a hook adds others, read '
                        'them from their table in dispatch.open_to(), or nobody is pushed to.'
            end,
            ' What they look up in ' || v_by || ' is looked up past the policies of that: if these '
            'decide, say it in dispatch.open_to().'
        );
    end if;

    -- Which id of a mechanic a request is assigned to.
    v_it := v_requests -> 'mechanic_id';
    select string_agg(distinct p.policyname, ', ') into v_word
    from pg_catalog.pg_policies as p
    where
        p.schemaname = 'public' and p.tablename = 'session_requests'
        and concat_ws(' ', p.qual, p.with_check)
        ~ '\mmechanic_id = (auth\.uid\(\)|\( SELECT auth\.uid\(\))';
    v_assigns_user := case
        when v_key_is_user then true
        when v_it ->> 'to_mechanics' is not null then v_it ->> 'to_mechanics' <> 'id'
        when (v_it ->> 'is_user')::boolean then true
        when v_word is not null then true
        when (v_it ->> 'mechanics')::bigint > 0 then false
        else true
    end;
    v_by := concat_ws(
        '; ',
        'by foreign key to ' || (v_it ->> 'points_to'),
        'by policies that compare it with auth.uid(): ' || v_word,
        case
            when (v_it ->> 'users')::bigint > 0
                then format('%s of %s values are users'' ids', v_it ->> 'users', v_it ->> 'filled')
        end,
        case
            when (v_it ->> 'mechanics')::bigint > 0
                then
                    format(
                        '%s of %s values are mechanics'' ids',
                        v_it ->> 'mechanics', v_it ->> 'filled'
                    )
        end
    );
    v_says := v_says || jsonb_build_object(
        'assigned',
        case
            when v_key_is_user then 'the user''s id, which is the mechanic''s'
            when v_assigns_user then 'the user''s id'
            else 'the mechanic''s id'
        end
        || case
            when v_by <> '' then ', ' || v_by
            when v_key_is_user then ''
            else ', but that is asked'
        end
    );
    if
        not v_key_is_user
        and (
            v_by = ''
            or ((v_it ->> 'users')::bigint > 0 and (v_it ->> 'mechanics')::bigint > 0)
        )
    then
        v_questions := v_questions || format(
            'Which id of a mechanic does session_requests.mechanic_id hold: of the user (%s) or of '
            'mechanics (id)? %s Taken: %s. If it is the other, change dispatch.assigns_user_id().',
            v_readings #>> '{user_id,0,name}',
            case
                when v_by = '' then 'There is no foreign key, no policy and no value to tell.'
                else format('Its values do not agree: %s.', v_by)
            end,
            case when v_assigns_user then 'of the user' else 'of mechanics' end
        );
    end if;

    -- Favourites.
    if v_places -> 'favorites' is null then
        v_questions := v_questions || 'Where are the customers'' favourites? No table was found '
            'that has "fav" in its name, a user and a mechanic. Taken: nowhere, so that '
            'list_favorite_mechanics() has no rows; a favourite can be booked all the same. If '
            'there is one, change dispatch.favorites.'::text;
    else
        if jsonb_array_length(v_places -> 'favorites') > 1 then
            v_questions := v_questions || format(
                'Which table has the customers'' favourites: %s? Taken: %s. If it is another, '
                'change dispatch.favorites.',
                (
                    select string_agg(w.value, ' or ')
                    from jsonb_array_elements_text(v_places -> 'favorites') as w
                ),
                v_places #>> '{favorites,0}'
            );
        end if;
        v_it := v_readings #> '{favorite_mechanic,0}';
        -- Where it holds another id than mechanics.id, that one is looked up.
        v_by := case
            when v_key_is_user and v_it ->> 'to_mechanics' is null then 'id'
            when v_it ->> 'to_mechanics' is not null then v_it ->> 'to_mechanics'
            when (v_it ->> 'mechanics')::bigint > 0 then 'id'
            when (v_it ->> 'is_user')::boolean or (v_it ->> 'users')::bigint > 0
                then v_readings #>> '{user_id,0,name}'
            else 'id'
        end;
        if v_by <> 'id' then
            v_join := format(
                E'\ninner join public.mechanics as m on m.%I = %s',
                v_by, v_x ->> 'favorite_mechanic'
            );
            v_x := v_x || '{"favorite_mechanic": "m.id"}';
        end if;
        -- Favourites of more than one kind, in one column.
        if v_it ->> 'points_to' is null then
            select format('f.%I = ''mechanic''', e.value ->> 'name') into v_kind
            from jsonb_array_elements(v_columns) as e
            where
                e.value ->> 'relation' = v_it ->> 'relation'
                and e.value ->> 'kind' in ('text', 'enum')
                and coalesce(nullif(e.value -> 'words', 'null'), e.value -> 'vals') ? 'mechanic'
            limit 1;
        end if;
        if v_it ->> 'evidence' = 'by its name' and not v_key_is_user then
            v_questions := v_questions || format(
                'Which id of a mechanic does %s.%s hold: of mechanics (id) or of the user (%s)? '
                'There is no foreign key and no value to tell. Taken: of mechanics. If it is the '
                'other, change dispatch.favorites.',
                v_it ->> 'relation', v_it ->> 'name', v_readings #>> '{user_id,0,name}'
            );
        end if;
    end if;

    -- Plans.
    v_words := array(
        select w.value from jsonb_array_elements_text(
            case
                when jsonb_typeof(v_requests #> '{session_type,vals}') = 'array'
                    then v_requests #> '{session_type,vals}'
                else '[]'
            end
            || case
                when jsonb_typeof(v_requests #> '{session_type,words}') = 'array'
                    then v_requests #> '{session_type,words}'
                else '[]'
            end
        ) with ordinality as w
        group by w.value
        order by min(w.ordinality)
    );
    if v_places -> 'plans' is null then
        v_questions := v_questions || 'Where are the plans that are sold? No table was found whose '
            'name says plan, price or product, and that has a code and a price. Taken: nowhere, so '
            'that prepare_checkout() and request_free_session() know no plan. If there is one, '
            'change dispatch.plans.'::text;
    else
        if jsonb_array_length(v_places -> 'plans') > 1 then
            v_questions := v_questions || format(
                'Which table has the plans that are sold: %s? Taken: %s. If it is another, change '
                'dispatch.plans.',
                (
                    select string_agg(w.value, ' or ')
                    from jsonb_array_elements_text(v_places -> 'plans') as w
                ),
                v_places #>> '{plans,0}'
            );
        end if;

        if
            v_places #>> '{plans,0}' not in ('public.service_plans', 'public.plans')
            and v_readings #>> '{code,0,evidence}' = 'by its name'
        then
            v_questions := v_questions || format(
                'Are the plans that are sold in %s? Only its shape says so. Taken: they are. If '
                'not, change dispatch.plans.',
                v_places #>> '{plans,0}'
            );
        end if;

        v_it := v_readings #> '{code,0}';
        if v_it ->> 'kind' in ('uuid', 'integer') then
            v_x := v_x || jsonb_build_object('code', format('p.%I::text', v_it ->> 'name'));
        end if;
        if
            not (v_it ->> 'is_unique')::boolean
            and (v_it -> 'filled' > v_it -> 'differ' or (v_it ->> 'filled' = '0'))
        then
            v_questions := v_questions || format(
                'Has each plan one row? %s.%s has no unique key%s. Taken: each has; of more than '
                'one row any is read. If there are more (a price for each currency), let '
                'dispatch.plans have one of them.',
                v_it ->> 'relation', v_it ->> 'name',
                case
                    when v_it -> 'filled' > v_it -> 'differ' then ', and some rows have the same'
                    else ''
                end
            );
        end if;
        if v_rivals ->> 'code' is not null and (v_it ->> 'plausible')::boolean then
            v_questions := v_questions || format(
                'Which column of %s does session_requests.plan_code hold: %s? No plan_code of a '
                'request is a value of either. Taken: %s. If it is another, change code in '
                'dispatch.plans.',
                v_it ->> 'relation', v_rivals ->> 'code', v_it ->> 'name'
            );
        elsif
            v_it ->> 'evidence' = 'by its name' and current_setting('discover.plan_codes') <> '0'
        then
            v_questions := v_questions || format(
                'Does session_requests.plan_code hold %s.%s? The requests have other values. '
                'Taken: it does. If not, change code in dispatch.plans.',
                v_it ->> 'relation', v_it ->> 'name'
            );
        end if;
        v_x := v_x || jsonb_build_object('title', coalesce(v_x ->> 'title', v_x ->> 'code'));

        if v_x ->> 'session_type' is null then
            v_by := 'requests have ' || array_to_string(v_words, ', ');
            if cardinality(v_words) = 0 then
                -- Any word will do there; these are the usual ones.
                v_words := array['chat', 'video', 'diagnostic'];
                v_by := 'no session type is known yet';
            end if;
            v_x := v_x || jsonb_build_object(
                'session_type',
                case
                    when cardinality(v_words) = 1 then quote_literal(v_words[1]) || '::text'
                    else
                        E'case\n'
                        || (
                            -- A word that another is part of comes later.
                            select
                                string_agg(
                                    format(
                                        E'        when concat_ws('' '', %s) ~* %L\n'
                                        '            then %L',
                                        replace(
                                            concat_ws(
                                                ', ', v_x ->> 'code',
                                                nullif(v_x ->> 'title', v_x ->> 'code')
                                            ),
                                            '::text', ''
                                        ),
                                        regexp_replace(
                                            regexp_replace(w.word, '([^\w\s-])', '\\\1', 'g'),
                                            '[-_\s]', '[-_ ]', 'g'
                                        ),
                                        w.word
                                    ),
                                    E'\n' order by length(w.word) desc, w.number
                                )
                            from unnest(v_words) with ordinality as w (word, number)
                        )
                        || format(E'\n        else %L\n    end', v_words[1])
                end
            );
            v_questions := v_questions || format(
                'Which session type does a plan book? Plans have no column that says it, and %s. '
                'Taken: the one whose word is in the plan''s code or title, else %s. If a plan books '
                'another, change session_type in dispatch.plans.',
                v_by, v_words[1]
            );
            v_says := v_says || jsonb_build_object(
                'session_type', 'by words in its code and title: no column says it'
            );
            if v_by = 'no session type is known yet' then
                v_words := '{}';
            end if;
        elsif v_rivals ->> 'session_type' is not null then
            v_questions := v_questions || format(
                'Which column of %s is the session type that a plan books: %s? Taken: %s. If it is '
                'another, change session_type in dispatch.plans.',
                v_it ->> 'relation', v_rivals ->> 'session_type',
                v_readings #>> '{session_type,0,name}'
            );
        end if;

        v_it := v_readings #> '{price,0}';
        -- In minor units by its name, or because it is an integer and an amount, as Stripe's; an
        -- integer price by its values: 999 is no price in dollars, 10 none in cents.
        v_is_minor := v_it ->> 'said' ~ '(cents?|minor|pence)$|^unit_amount'
            or (
                v_it ->> 'kind' = 'integer'
                and (
                    v_it ->> 'said' ~ 'amount'
                    or jsonb_typeof(v_it -> 'vals') is distinct from 'array'
                    or not exists (
                        select from jsonb_array_elements_text(v_it -> 'vals') as w
                        where w.value::numeric between 1 and 99
                    )
                )
            );
        -- What Stripe counts in is a hundredth of most currencies.
        v_units := case
            when v_x ->> 'currency' is null then '100'
            else format(
                'case when lower(%1$s) ~ '
                '''^(bif|clp|djf|gnf|jpy|kmf|krw|mga|pyg|rwf|vnd|vuv|xaf|xof|xpf)$'' then 1 '
                'when lower(%1$s) ~ ''^(bhd|jod|kwd|omr|tnd)$'' then 1000 else 100 end',
                v_x ->> 'currency'
            )
        end;
        v_x := v_x || jsonb_build_object(
            'price', case
                when v_it is null then 'null::integer'
                when v_is_minor and v_it ->> 'type' = 'integer' then format('p.%I', v_it ->> 'name')
                else
                    -- Of a price that is too high nothing is said: an error would be one for
                    -- everybody who reads the plans.
                    format(
                        'nullif(least(%s, 2147483648), 2147483648)::integer',
                        case
                            when v_is_minor and v_it ->> 'kind' = 'integer'
                                then format('p.%I', v_it ->> 'name')
                            when v_is_minor then format('round(p.%I::numeric)', v_it ->> 'name')
                            when v_it ->> 'base_type' = 'numeric'
                                then format('round(p.%I * %s)', v_it ->> 'name', v_units)
                            else format('round(p.%I::numeric * %s)', v_it ->> 'name', v_units)
                        end
                    )
            end
        );
        if v_it is not null then
            v_says := v_says || jsonb_build_object(
                'price', format(
                    '%s: by its name; %s, taken as %s%s', v_it ->> 'name', v_it ->> 'type',
                    case when v_is_minor then 'minor units' else 'whole units' end,
                    '; its values are ' || (
                        select string_agg(w.value, ', ' order by w.value::numeric)
                        from jsonb_array_elements_text(
                            case
                                when v_it ->> 'base_type' <> 'money'
                                    then nullif(v_it -> 'vals', 'null')
                            end
                        ) as w
                    )
                )
            );
        end if;
        if v_it is null then
            v_questions := v_questions || format(
                'What does a plan cost? No column was found that says it%s. Taken: nobody knows; '
                'no plan is free, and what was paid is compared with nothing. Change price_cents '
                'in dispatch.plans.',
                (
                    select '; ' || string_agg(distinct e.value ->> 'relation', ' or ') || ' may'
                    from jsonb_array_elements(v_columns) as e
                    where
                        e.value ->> 'role' = 'plans'
                        and starts_with(
                            e.value ->> 'points_to', (v_places #>> '{plans,0}') || ' ('
                        )
                )
            );
        elsif v_rivals ->> 'price' is not null then
            v_questions := v_questions || format(
                'Which column of %s is the price: %s? Taken: %s. If it is another, change '
                'price_cents in dispatch.plans.',
                v_it ->> 'relation', v_rivals ->> 'price', v_it ->> 'name'
            );
        end if;
        if
            v_it ->> 'kind' = 'integer'
            and v_it ->> 'said' !~ '(cents?|minor|pence)$|amount'
        then
            v_questions := v_questions || format(
                'Is %s.%s in minor units (999 for 9.99) or in whole ones? Taken: %s. If it is the '
                'other, change price_cents in dispatch.plans to %s.',
                v_it ->> 'relation', v_it ->> 'name',
                case when v_is_minor then 'minor units' else 'whole ones' end,
                format(
                    case when v_is_minor then '(p.%I * %s)::integer' else 'p.%I::integer' end,
                    v_it ->> 'name', v_units
                )
            );
        end if;

        if
            not v_ours
            and exists (
                select from jsonb_array_elements_text(
                    case jsonb_typeof(v_it -> 'vals') when 'array' then v_it -> 'vals' else '[]' end
                ) as w
                where w.value !~ '[1-9]'
            )
        then
            v_questions := v_questions || format(
                'May everyone who is signed in book what costs nothing, as often as they like? '
                '%s.%s is 0 in some row, request_free_session() books such a plan, and no policy on '
                'session_requests is asked. Taken: they may. If not (it is for subscribers, or once '
                'for each customer), let is_active in dispatch.plans be false for it.',
                v_it ->> 'relation', v_it ->> 'name'
            );
        end if;

        v_it := v_readings #> '{currency,0}';
        if v_it is null then
            v_x := v_x || '{"currency": "''usd''::text"}';
            v_questions := v_questions || (
                'In which currency are the prices? No column says it. Taken: usd. If it is another, '
                'change currency in dispatch.plans'
                || case
                    when v_x ->> 'price' like '%* 100)%'
                        then ', and the 100 in price_cents if it has no cents (1 for yen)'
                    else ''
                end
                || '.'
            );
        elsif not v_ours then
            v_x := v_x || jsonb_build_object('currency', format('lower(%s)', v_x ->> 'currency'));
        end if;

        v_it := v_readings #> '{is_active,0}';
        v_by := concat_ws(
            ' and ',
            case
                when v_it is null then null
                when (v_it ->> 'not_null')::boolean then format('p.%I', v_it ->> 'name')
                else format('coalesce(p.%I, false)', v_it ->> 'name')
            end,
            format(v_gone ->> (v_places #>> '{plans,0}'), 'p')
        );
        v_x := v_x || jsonb_build_object(
            'is_active', case
                when v_by = '' then 'true'
                when v_by ~ ' (and|is) ' then format('(%s)', v_by)
                else v_by
            end
        );
        if v_it is null and v_by <> '' then
            v_says := v_says
                || jsonb_build_object('is_active', 'what is not out of service: ' || v_by);
        end if;
    end if;

    v_it := v_requests -> 'preferred_mechanic_id';
    if not v_ours then
        v_questions := v_questions || array(
            select q.question
            from (
                -- A column of our name that was there first.
                select
                    1 as number,
                    format(
                        'Does session_requests.preferred_mechanic_id, which is there already, say '
                        'whom the customer books? Found: %s. Taken: it does; with the flag on each '
                        'pending booking that fills it opens a window. If not, rename it.%s',
                        concat_ws(
                            '; ',
                            coalesce(
                                'a foreign key to ' || (v_it ->> 'points_to'), 'no foreign key'
                            ),
                            case
                                when (v_it ->> 'filled')::bigint > 0
                                    then format(
                                        '%s of %s values are mechanics'' ids',
                                        coalesce(v_it ->> 'mechanics', '0'), v_it ->> 'filled'
                                    )
                            end
                        ),
                        case
                            when v_it ->> 'points_to' is null
                                then
                                    ' (Without a foreign key the window of a mechanic who is '
                                    'deleted is announced when it would have ended.)'
                            else ''
                        end
                    ) as question
                where
                    v_it is not null
                    and not exists (
                        select from pg_catalog.pg_trigger as g
                        where
                            g.tgrelid = to_regclass('public.session_requests')
                            and g.tgname = 'zzz_dispatch_open_window'
                    )
                union all
                -- What a booking by the engine cannot fill.
                select
                    2,
                    format(
                        'What does a booking by Stripe''s event or by request_free_session() write '
                        'in %s of session_requests? None may be null, nor has a default. Taken: '
                        'nothing; so if no trigger fills them, these bookings are refused, and '
                        'Stripe''s wait in the ledger. Your own INSERT is not concerned.',
                        string_agg(a.attname, ', ' order by a.attnum)
                    )
                from pg_catalog.pg_attribute as a
                where
                    a.attrelid = to_regclass('public.session_requests') and a.attnum > 0
                    and a.attnotnull and not a.atthasdef and a.attidentity = ''
                    and not a.attisdropped
                    and a.attname not in (
                        'id', 'customer_id', 'session_type', 'plan_code', 'status',
                        'customer_name', 'customer_email', 'preferred_mechanic_id',
                        'priority_window_minutes'
                    )
                having count(*) > 0
                union all
                select
                    3,
                    'Is it enough that a request lives until expires_at, which the table computes, '
                    'though a window took of that time? Nothing can move it. If not, let it be a '
                    'column with a default.'
                from pg_catalog.pg_attribute as a
                where
                    a.attrelid = to_regclass('public.session_requests')
                    and a.attname = 'expires_at' and a.attgenerated <> ''
                union all
                select
                    4,
                    format(
                        'Does %s allow a request to live longer by its window, up to 60 minutes? '
                        'Taken: it does. If not, a booking that names a favourite is refused: let '
                        'it allow for that.',
                        string_agg('the CHECK ' || k.conname, ', ' order by k.conname)
                    )
                from pg_catalog.pg_constraint as k
                inner join pg_catalog.pg_attribute as a
                    on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
                where
                    k.conrelid = to_regclass('public.session_requests') and k.contype = 'c'
                    and a.attname = 'expires_at' and a.attgenerated = ''
                    and pg_get_constraintdef(k.oid) ~ '[<>]'
                having count(*) > 0
                union all
                -- What no policy can hide.
                select
                    5,
                    format(
                        'Whom do these show pending requests: %s? They read session_requests with '
                        'their owner''s rights, past every policy. Taken: no mechanic. If one '
                        'shows them to mechanics, let it leave out where '
                        'dispatch.is_reserved_for_another(id).',
                        string_agg(p.what, ', ' order by p.what)
                    )
                from (
                    select distinct c.oid::regclass::text as what
                    from pg_catalog.pg_depend as d
                    inner join pg_catalog.pg_rewrite as r
                        on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
                    inner join pg_catalog.pg_class as c on c.oid = r.ev_class
                    where
                        d.refclassid = 'pg_catalog.pg_class'::regclass
                        and d.refobjid = to_regclass('public.session_requests')
                        and c.relkind in ('v', 'm') and c.relnamespace <> 'pg_catalog'::regnamespace
                        and c.relnamespace is distinct from to_regnamespace('dispatch')
                        and not coalesce(
                            c.reloptions && array['security_invoker=on', 'security_invoker=true'],
                            false
                        )
                        and (
                            has_table_privilege('authenticated', c.oid, 'select')
                            or has_table_privilege('anon', c.oid, 'select')
                        )
                    union all
                    select f.oid::regprocedure::text
                    from pg_catalog.pg_proc as f
                    where
                        f.prosecdef and f.pronamespace = 'public'::regnamespace
                        and f.prorettype <> 'trigger'::regtype
                        and f.prosrc ~* '\m(from|join)\s+(public\.)?session_requests\M'
                        and f.prosrc ~ '\mpending\M'
                        and f.prosrc !~ '\mdispatch\.'
                        and (
                            has_function_privilege('authenticated', f.oid, 'execute')
                            or has_function_privilege('anon', f.oid, 'execute')
                        )
                ) as p
                having count(*) > 0
                union all
                select
                    6,
                    format(
                        'Whom do these triggers tell of a new request: %s? They run for one that is '
                        'reserved too. Taken: no mechanic. If one tells mechanics, let it pass '
                        'where new.priority_notified_at is not null; the fallback is told on '
                        'session_requests_feed.',
                        string_agg(g.tgname, ', ' order by g.tgname)
                    )
                from pg_catalog.pg_trigger as g
                inner join pg_catalog.pg_proc as f on f.oid = g.tgfoid
                where
                    g.tgrelid = to_regclass('public.session_requests') and not g.tgisinternal
                    -- pg_trigger.h: insert 4
                    and g.tgtype & 4 = 4
                    and f.pronamespace is distinct from to_regnamespace('dispatch')
                    and f.proname || ' ' || f.prosrc ~* 'notify|http|realtime|broadcast|push|mail'
                having count(*) > 0
                union all
                -- What the columns change by themselves, before they are there.
                select
                    7,
                    format(
                        'Do clients embed mechanics in session_requests through PostgREST, or the '
                        'other way round, as by select=*,mechanics(*)? Between them is a foreign '
                        'key, %1$s, and preferred_mechanic_id brings another: a query that names '
                        'neither is refused from then on (PGRST201). Let theirs name it before the '
                        'install, mechanics!%1$s(*).',
                        min(k.conname)
                    )
                from pg_catalog.pg_constraint as k
                where
                    k.contype = 'f'
                    and array[k.conrelid, k.confrelid]::regclass[] <@ array[
                        to_regclass('public.mechanics'), to_regclass('public.session_requests')
                    ]
                    and k.conrelid <> k.confrelid and v_it is null
                having count(*) > 0
                union all
                select
                    8,
                    format(
                        'Have the subscribers of %s room for three more columns of '
                        'session_requests? It publishes each column, and a subscriber whose table '
                        'lacks one stops. Give them preferred_mechanic_id uuid, '
                        'priority_window_minutes integer and priority_notified_at timestamptz '
                        'before the install, or the publication a list of columns.',
                        string_agg('the publication ' || p.pubname, ', ' order by p.pubname)
                    )
                from pg_catalog.pg_publication_tables as p
                left join pg_catalog.pg_publication_rel as r
                    on
                        r.prrelid = to_regclass('public.session_requests')
                        and r.prpubid = (
                            select b.oid from pg_catalog.pg_publication as b
                            where b.pubname = p.pubname
                        )
                where
                    p.schemaname = 'public' and p.tablename = 'session_requests'
                    and p.pubname !~ '^supabase_realtime' and r.prattrs is null and v_it is null
                having count(*) > 0
            ) as q
            order by q.number
        );
    end if;

    -- What no table says.
    select string_agg(p.policyname, ', ') into v_word
    from pg_catalog.pg_policies as p
    where
        p.schemaname = 'realtime' and p.tablename = 'messages'
        and concat_ws(' ', p.qual, p.with_check) ~ 'session_requests_feed'
        and concat_ws(' ', p.qual, p.with_check) !~ '\mdispatch\.';
    if not v_ours then
        v_questions := v_questions || format(
            'Do clients join the Realtime channel session_requests_feed as a private one? %s '
            'Taken: private. If their code joins it without private: true, let '
            'dispatch.feed_is_private() be false.',
            case
                when v_word is not null
                    then format('The policy %s on realtime.messages hints that they do.', v_word)
                else 'No policy on realtime.messages names it, which hints that they do not.'
            end
        );
    end if;

    perform set_config(
        'discover.bound',
        jsonb_build_object(
            'is_ours', v_ours,
            'x', v_x,
            'says', v_says || jsonb_build_object(
                'status', (v_requests #>> '{status,type}') || coalesce(
                    (
                        select ', knows ' || string_agg(w.value, ', ')
                        from jsonb_array_elements_text(
                            coalesce(
                                nullif(v_requests #> '{status,words}', 'null'),
                                nullif(v_requests #> '{status,vals}', 'null')
                            )
                        ) as w
                    ),
                    ''
                ),
                'session_types', (v_requests #>> '{session_type,type}')
                || coalesce(', knows ' || nullif(array_to_string(v_words, ', '), ''), ''),
                'gone', nullif(array_to_string(v_gone_names, ', '), '')
            ),
            'join', v_join,
            'approval_columns',
            array_remove(array[v_readings #>> '{approval,0,name}'], null) || v_gone_names,
            'assigns_user', v_assigns_user,
            'taken_off', v_taken_off,
            'open_to', v_open_to,
            'favorites', v_places #>> '{favorites,0}',
            -- An inner join leaves a null out by itself.
            'favorites_where', nullif(
                concat_ws(
                    ' and ',
                    case
                        when
                            v_join = ''
                            and not (v_readings #>> '{favorite_mechanic,0,not_null}')::boolean
                            then (v_x ->> 'favorite_mechanic') || ' is not null'
                    end,
                    v_kind,
                    format(v_gone ->> (v_places #>> '{favorites,0}'), 'f')
                ),
                ''
            ),
            'plans', v_places #>> '{plans,0}',
            'questions', v_questions
        )::text,
        true
    );
end;
$bind$;

-- 5. Write. The report, the questions, the binding.
do $write$
declare
    v_text text;
begin
    with bound as (
        select
            b.bound,
            b.bound -> 'x' as x,
            b.bound -> 'says' as says,
            (b.bound ->> 'is_ours')::boolean as is_ours
        from (select current_setting('discover.bound')::jsonb as bound) as b
    ),

    columns as (
        select c.*
        from jsonb_to_recordset(current_setting('discover.columns')::jsonb) as c (
            role text, relation text, name text, kind text, points_to text, "rows" bigint
        )
    ),

    looked_at as (
        select
            c.relation,
            c.relation
            || coalesce(': ' || max(c."rows") || ' rows looked at', ': its rows may not be read')
                as line
        from columns as c
        group by c.relation
    ),

    found as (
        select w.number, w.line
        from bound as b
        cross join lateral (
            values
            (1, format('Binding of the marketplace in the database %s.', current_database())),
            (
                2,
                'Written by sql/discover.sql, which changed nothing. Look it over, change what is '
                'not so, answer the questions; then install with it:'
            ),
            (3, '  psql "$DATABASE_URL" -X -v binding="$PWD/binding.sql" -f sql/engine/up.sql'),
            (4, ''),
            (
                5,
                case
                    when b.is_ours
                        then 'This is the reference marketplace: each request is governed.'
                    else
                        'This marketplace was there first: only requests for which a window is '
                        'opened are governed.'
                end
            ),
            (6, ''),
            (10, (select l.line from looked_at as l where l.relation = 'public.mechanics')),
            (
                11,
                (
                    select
                        '  id            id: ' || coalesce(
                            'by foreign key to ' || c.points_to, 'its key, an id of its own'
                        )
                    from columns as c
                    where c.role = 'mechanics' and c.name = 'id'
                )
            ),
            (12, '  user_id       ' || (b.says ->> 'user_id')),
            (13, '  is_approved   ' || coalesce(b.says ->> 'approval', 'not found')),
            (14, '                and none of these says otherwise: ' || (b.says ->> 'gone')),
            (
                15,
                '  is_online     '
                || concat_ws(
                    '; and ', b.says ->> 'is_online',
                    case when not b.is_ours then 'what set_presence said' end
                )
            ),
            (
                16,
                '  last_seen_at  '
                || concat_ws(
                    '; or, if later, ', b.says ->> 'last_seen_at',
                    case when not b.is_ours then 'when set_presence was called' end
                )
            ),
            (17, '  display_name  ' || coalesce(b.says ->> 'display_name', 'not found')),
            (18, '  brands        ' || coalesce(b.says ->> 'brands', 'not found')),
            (19, '  city          ' || coalesce(b.says ->> 'city', 'not found')),
            (20, '  country       ' || coalesce(b.says ->> 'country', 'not found')),
            (
                30,
                coalesce(
                    (select l.line from looked_at as l where l.relation = b.bound ->> 'favorites'),
                    'Favourites: no such table was found.'
                )
            ),
            (31, '  customer_id   ' || (b.says ->> 'favorite_customer')),
            (32, '  mechanic_id   ' || (b.says ->> 'favorite_mechanic')),
            (33, '  favorited_at  ' || coalesce(b.says ->> 'favorited_at', 'not found')),
            (34, '  only where    ' || (b.bound ->> 'favorites_where')),
            (
                40,
                coalesce(
                    (select l.line from looked_at as l where l.relation = b.bound ->> 'plans'),
                    'Plans: no such table was found.'
                )
            ),
            (41, '  code          ' || (b.says ->> 'code')),
            (42, '  title         ' || coalesce(b.says ->> 'title', 'not found: its code')),
            (43, '  session_type  ' || (b.says ->> 'session_type')),
            (44, '  price_cents   ' || coalesce(b.says ->> 'price', 'not found')),
            (45, '  currency      ' || coalesce(b.says ->> 'currency', 'not found')),
            (46, '  is_active     ' || coalesce(b.says ->> 'is_active', 'not found: each plan is')),
            (50, (select l.line from looked_at as l where l.relation = 'public.session_requests')),
            (51, '  customer_id   ' || (b.says ->> 'customer')),
            (52, '  mechanic_id   ' || (b.says ->> 'assigned')),
            (53, '  status        ' || (b.says ->> 'status')),
            (54, '  session_type  ' || (b.says ->> 'session_types')),
            (55, '  taken off     where ' || (b.bound ->> 'taken_off') || ': by its name'),
            (56, '  open to       some mechanics alone, ' || (b.says ->> 'open_to')),
            (
                57,
                (
                    select '  also read     ' || string_agg(c.name, ', ' order by c.name)
                    from columns as c
                    where
                        c.role = 'requests'
                        and (
                            c.name in ('plan_code', 'metadata')
                            or (
                                c.kind = 'time'
                                and c.name in (
                                    'accepted_at', 'expires_at', 'updated_at',
                                    'notification_sent_at'
                                )
                            )
                            or (
                                c.kind in ('text', 'enum')
                                and c.name in (
                                    'customer_name', 'customer_email', 'notes', 'requested_brand',
                                    'customer_country', 'customer_city'
                                )
                            )
                        )
                )
            )
        ) as w (number, line)
        where
            w.line is not null
            and (w.number not between 31 and 39 or b.bound ->> 'favorites' is not null)
            and (w.number not between 41 and 49 or b.bound ->> 'plans' is not null)

        union all
        select 60 + 2 * q.number + l.number, l.line
        from bound as b
        cross join
            jsonb_array_elements_text(b.bound -> 'questions') with ordinality as q (value, number)
        cross join lateral (values (0, ''), (1, 'QUESTION: ' || q.value)) as l (number, line)
    ),

    -- (view, place, expression, column, where it is from)
    bindings as (
        select w.view, w.number, w.expression, w.name, w.source
        from bound as b
        cross join lateral (
            values
            ('mechanics', 1, b.x ->> 'id', 'id', 'what preferred_mechanic_id will point to'),
            ('mechanics', 2, b.x ->> 'user_id', 'user_id', b.says ->> 'user_id'),
            ('mechanics', 3, b.x ->> 'display_name', 'display_name', b.says ->> 'display_name'),
            ('mechanics', 4, b.x ->> 'approval', 'is_approved', b.says ->> 'approval'),
            (
                'mechanics', 5, b.x ->> 'is_online', 'is_online',
                coalesce(b.says ->> 'is_online', 'what set_presence said')
            ),
            (
                'mechanics', 6, b.x ->> 'last_seen_at', 'last_seen_at',
                coalesce(b.says ->> 'last_seen_at', 'when set_presence was called')
            ),
            ('mechanics', 7, b.x ->> 'brands', 'brands', b.says ->> 'brands'),
            ('mechanics', 8, b.x ->> 'city', 'city', b.says ->> 'city'),
            ('mechanics', 9, b.x ->> 'country', 'country', b.says ->> 'country'),
            ('plans', 1, coalesce(b.x ->> 'code', 'null::text'), 'code', b.says ->> 'code'),
            ('plans', 2, coalesce(b.x ->> 'title', 'null::text'), 'title', b.says ->> 'title'),
            (
                'plans', 3, coalesce(b.x ->> 'session_type', 'null::text'), 'session_type',
                b.says ->> 'session_type'
            ),
            (
                'plans', 4, coalesce(b.x ->> 'price', 'null::integer'), 'price_cents',
                b.says ->> 'price'
            ),
            (
                'plans', 5, coalesce(b.x ->> 'currency', 'null::text'), 'currency',
                b.says ->> 'currency'
            ),
            (
                'plans', 6, coalesce(b.x ->> 'is_active', 'null::boolean'), 'is_active',
                b.says ->> 'is_active'
            ),
            (
                'favorites', 1, coalesce(b.x ->> 'favorite_customer', 'null::uuid'), 'customer_id',
                b.says ->> 'favorite_customer'
            ),
            (
                'favorites', 2, coalesce(b.x ->> 'favorite_mechanic', 'null::uuid'), 'mechanic_id',
                b.says ->> 'favorite_mechanic'
            ),
            (
                'favorites', 3, coalesce(b.x ->> 'favorited_at', 'null::timestamptz'),
                'favorited_at', b.says ->> 'favorited_at'
            )
        ) as w (view, number, expression, name, source)
    ),

    views as (
        select
            w.view,
            format(E'create or replace view dispatch.%s as\nselect\n', w.view)
            || string_agg(
                format(
                    E'    -- %s\n    %s%s',
                    -- The first piece of evidence; the rest is above.
                    split_part(coalesce(translate(w.source, E'\n\r', '  '), 'not found'), ';', 1),
                    w.expression,
                    case
                        when w.expression ~ ('^[a-z]\.' || w.name || '$') then ''
                        else ' as ' || w.name
                    end
                ),
                E',\n' order by w.number
            ) as text
        from bindings as w
        group by w.view
    ),

    constants as (
        select
            string_agg(
                format(
                    E'-- %s\n'
                    'create or replace function dispatch.%s() returns %s\n'
                    'language sql immutable security invoker '
                    'set search_path = pg_catalog, pg_temp\n'
                    'as %s select %s %4$s;',
                    translate(w.comment, E'\n\r', '  '), w.name, w.type,
                    -- What a policy holds may be anything.
                    case when strpos(w.value, '$$') > 0 then '$policies$' else '$$' end, w.value
                ),
                E'\n\n' order by w.number
            ) as text
        from bound as b
        cross join lateral (
            values
            (
                1, 'governs_all', 'boolean', b.is_ours::text,
                case
                    when b.is_ours then 'The marketplace is ours: each request is governed.'
                    else
                        'The marketplace was there first: only requests for which a window is '
                        'opened are governed.'
                end
            ),
            (
                2, 'assigns_user_id', 'boolean', b.bound ->> 'assigns_user',
                'Whether session_requests.mechanic_id holds the user''s id. Here it is '
                || (b.says ->> 'assigned')
            ),
            (
                3, 'approval_columns', 'text[]',
                coalesce(
                    (
                        select 'array[' || string_agg(quote_literal(e.value), ', ') || ']'
                        from jsonb_array_elements_text(b.bound -> 'approval_columns') as e
                    ),
                    '''{}''::text[]'
                ),
                'The columns of mechanics that is_approved reads.'
            ),
            (
                4, 'feed_is_private', 'boolean', 'true',
                'Whether clients join session_requests_feed as a private channel.'
            ),
            (
                5, 'taken_off', 'text',
                quote_literal(coalesce(b.bound ->> 'taken_off', 'false')),
                'When a row r of session_requests was taken off, whatever its status: a pending or '
                'accepted one is then cancelled. '
                || case
                    when b.bound ->> 'taken_off' is null then 'No column says so: never'
                    else 'By the name of its column'
                end
            ),
            (
                6, 'open_to', 'text',
                quote_literal(coalesce(b.bound ->> 'open_to', 'true')),
                'When an approved mechanic, who is auth.uid(), may take a row of session_requests '
                'that is pending and not reserved. '
                || case
                    when b.bound ->> 'open_to' is null then 'No policy says other than: always'
                    else 'As the policies have it'
                end
            )
        ) as w (number, name, type, value, comment)
    ),

    texts as (
        select
            concat_ws(
                E'\n\n',
                (
                    select
                        string_agg(
                            rtrim('-- ' || translate(f.line, E'\n\r', '  ')),
                            E'\n' order by f.number
                        )
                    from found as f
                ),
                (
                    select v.text || E'\nfrom public.mechanics as m'
                    || ';'
                    from views as v
                    where v.view = 'mechanics'
                ),
                (
                    select v.text
                    || coalesce(E'\nfrom ' || (b.bound ->> 'plans') || ' as p;', E'\nwhere false;')
                    from views as v
                    where v.view = 'plans'
                ),
                (
                    select v.text || case
                        when b.bound ->> 'favorites' is null then E'\nwhere false;'
                        else
                            format(E'\nfrom %s as f', b.bound ->> 'favorites')
                            || (b.bound ->> 'join')
                            || coalesce(E'\nwhere ' || (b.bound ->> 'favorites_where'), '')
                            || ';'
                    end
                    from views as v
                    where v.view = 'favorites'
                ),
                (select c.text from constants as c)
            ) as text
        from bound as b
    )

    -- Comments that are too long go on in the next line.
    select
        string_agg(
            case
                when length(l.line) > 98 and l.line ~ '^ *-- '
                    then
                        w.first
                        || rtrim(
                            regexp_replace(
                                substr(l.line, length(w.first) + 2),
                                format('(.{1,%s})(?:\s+|$)', 98 - length(w.margin)),
                                E'\n' || w.margin || '\1',
                                'g'
                            )
                        )
                else l.line
            end,
            E'\n' order by l.number
        )
    into v_text
    from texts as t
    cross join regexp_split_to_table(t.text, E'\n') with ordinality as l (line, number)
    cross join lateral (
        select
            substring(l.line from '^(.{1,98})(?:\s|$)') as first,
            -- In the report, below what is said of the thing.
            case
                when l.line ~ '^--   \w' then rpad('--', 19)
                else substring(l.line from '^( *-- *)')
            end as margin
    ) as w;

    perform set_config('discover.text', v_text, true);
end;
$write$;

select current_setting('discover.text');
rollback;
