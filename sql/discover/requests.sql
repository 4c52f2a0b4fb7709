-- Requests: who books, what takes one off, and which id of a mechanic one is assigned to.
do $requests$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
    v_requests constant jsonb := v_bound -> 'requests';
    v_says jsonb := v_bound -> 'says';
    v_taken_off text;  -- what takes one out of service, as an expression
    v_it jsonb;
    v_word text;
    v_by text;
    v_assigns_user boolean;
    v_key_is_user constant boolean := v_bound -> 'key_is_user';
    v_questions text[] := '{}';
begin
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

    v_says := v_says || jsonb_build_object(
        'status',
        (v_requests #>> '{status,type}') || coalesce(
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
        )
    );

    perform set_config(
        'discover.bound',
        (
            v_bound || jsonb_build_object(
                'says', v_says,
                'assigns_user', v_assigns_user,
                'taken_off', v_taken_off,
                'questions', v_bound -> 'questions' || to_jsonb(v_questions)
            )
        )::text,
        true
    );
end;
$requests$;
