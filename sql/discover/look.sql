-- Each column of each table that may be one of the four becomes an object in
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
                and pg_get_constraintdef(k.oid) !~ '[<>~]| NOT ENFORCED$'
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
