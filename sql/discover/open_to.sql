-- Who may take a request that is not reserved, where policies show it to some mechanics alone.
do $open_to$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_readings constant jsonb := current_setting('discover.readings');
    v_ours constant boolean := v_bound -> 'is_ours';
    v_says jsonb := v_bound -> 'says';
    v_gone_names constant text[] := array(
        select w.value from jsonb_array_elements_text(v_bound -> 'gone_names') as w
    );
    v_open_to text;  -- what policies ask of who may take one
    v_word text;
    v_by text;
    v_questions text[] := '{}';
begin
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

    -- What in the text of a condition says that a policy is not the mechanics', unless it has the
    -- other, too; and whether this says so of a restrictive one.
    signs (text, other, of_restrictive) as (
        values
        -- The customer's, or the mechanic's who has it: compared with the caller. (A column of
        -- another table has that before its name.)
        (
            '(^|[( ])(customer_id =|mechanic_id (=|IN \())'
            '|auth\.uid\(\)( AS uid\))? = (customer_id|mechanic_id)\M',
            '^$', true
        ),
        -- The customer's, by a sub-select.
        (
            '= session_requests\.customer_id\M|\msession_requests\.customer_id =',
            'mechanic', true
        ),
        -- An administrator's. (Not by an administrative area.)
        (
            '(admin|moderator|administrator)s?\M|\madmin_(user|role|member)|service_role',
            'mechanic(?!_id)', false
        ),
        -- Of other requests than pending ones.
        ('(^|[( ])status = (''|ANY )', '''pending''', true)
    ),

    -- One that has something in its place is whoever's.
    policies as (
        select
            p.*,
            p.condition !~ '\m(OR|CASE)\M|\(NOT '
            and exists (
                select from signs as s
                where
                    p.condition ~* s.text and p.condition !~* s.other
                    and (p.polpermissive or s.of_restrictive)
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

    perform set_config(
        'discover.bound',
        (
            v_bound || jsonb_build_object(
                'says', v_says,
                'open_to', v_open_to,
                'questions', v_bound -> 'questions' || to_jsonb(v_questions)
            )
        )::text,
        true
    );
end;
$open_to$;
