-- The customers' favourites.
do $favorites$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_gone constant jsonb := v_bound -> 'gone';
    v_columns constant jsonb := current_setting('discover.columns');
    v_readings constant jsonb := current_setting('discover.readings');
    v_places constant jsonb := current_setting('discover.places');
    v_x jsonb := v_bound -> 'x';
    v_it jsonb;
    v_by text;
    v_key_is_user constant boolean := v_bound -> 'key_is_user';
    v_join text := '';
    v_kind text;  -- which favourites are mechanics
    v_questions text[] := '{}';
begin
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

    perform set_config(
        'discover.bound',
        (
            v_bound || jsonb_build_object(
                'x', v_x,
                'join', v_join,
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
                'questions', v_bound -> 'questions' || to_jsonb(v_questions)
            )
        )::text,
        true
    );
end;
$favorites$;
