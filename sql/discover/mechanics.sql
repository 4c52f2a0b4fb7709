-- The columns of what was read, as expressions and in words. Then the mechanics: which user one is,
-- who is approved, present, and named how.
do $mechanics$
declare
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
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
    v_it jsonb;
    v_word text;
    v_by text;
    -- Sub-selects: a row of a view with an outer join could not be locked.
    v_said constant text :=
    E'(\n        select p.is_online from dispatch.presence as p\n'
    '        where p.mechanic_id = m.id\n    )';
    v_heard constant text :=
    E'(\n        select p.last_seen_at from dispatch.presence as p\n'
    '        where p.mechanic_id = m.id\n    )';
    v_key_is_user boolean;
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
                then 'pg_catalog.concat_ws('' '', m.first_name, m.last_name)'
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

    v_says := v_says || jsonb_build_object('gone', nullif(array_to_string(v_gone_names, ', '), ''));

    perform set_config(
        'discover.bound',
        (
            jsonb_build_object(
                'is_ours', v_ours,
                'x', v_x,
                'says', v_says,
                'rivals', v_rivals,
                'requests', v_requests,
                'gone', v_gone,
                'key_is_user', v_key_is_user,
                'approval_columns', array_remove(
                    array[v_readings #>> '{approval,0,name}'], null
                ) || v_gone_names,
                'gone_names', v_gone_names,
                'questions', v_questions
            )
        )::text,
        true
    );
end;
$mechanics$;
