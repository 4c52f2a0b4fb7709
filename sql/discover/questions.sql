-- What the feature would meet there, which no column of the binding says.
do $questions$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_ours constant boolean := v_bound -> 'is_ours';
    v_requests constant jsonb := v_bound -> 'requests';
    v_it jsonb;
    v_word text;
    v_questions text[] := '{}';
begin
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
                    and pg_get_constraintdef(k.oid) !~ ' NOT ENFORCED$'
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
        (
            v_bound || jsonb_build_object(
                'questions', v_bound -> 'questions' || to_jsonb(v_questions)
            )
        )::text,
        true
    );
end;
$questions$;
