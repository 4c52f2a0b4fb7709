-- The plans that are sold: their codes, types, prices and currencies.
do $plans$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
    v_places constant jsonb := current_setting('discover.places');
    v_ours constant boolean := v_bound -> 'is_ours';
    v_requests constant jsonb := v_bound -> 'requests';
    v_x jsonb := v_bound -> 'x';
    v_says jsonb := v_bound -> 'says';
    v_rivals constant jsonb := v_bound -> 'rivals';
    v_gone constant jsonb := v_bound -> 'gone';
    v_it jsonb;
    v_words text[];
    v_by text;
    v_is_minor boolean;
    v_units text;  -- of the smallest in a whole one
    v_questions text[] := '{}';
begin
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
                                        E'        when pg_catalog.concat_ws('' '', %s) ~* %L\n'
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
        -- What Stripe counts in is a hundredth of most currencies. (In Turkish the small i of INR is
        -- another letter.)
        v_units := case
            when v_x ->> 'currency' is null then '100'
            else format(
                'case when lower(%1$s collate "C") ~ '
                '''^(bif|clp|djf|gnf|jpy|kmf|krw|mga|pyg|rwf|vnd|vuv|xaf|xof|xpf)$'' then 1 '
                'when lower(%1$s collate "C") ~ ''^(bhd|jod|kwd|omr|tnd)$'' then 1000 else 100 end',
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
            v_x := v_x || jsonb_build_object(
                'currency', format('lower(%s collate "C")', v_x ->> 'currency')
            );
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

    v_says := v_says || jsonb_build_object(
        'session_types',
        (v_requests #>> '{session_type,type}')
        || coalesce(', knows ' || nullif(array_to_string(v_words, ', '), ''), '')
    );

    perform set_config(
        'discover.bound',
        (
            v_bound || jsonb_build_object(
                'x', v_x,
                'says', v_says,
                'plans', v_places #>> '{plans,0}',
                'questions', v_bound -> 'questions' || to_jsonb(v_questions)
            )
        )::text,
        true
    );
end;
$plans$;
