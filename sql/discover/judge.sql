-- A table that only bears the name is left alone, and all that is in the way is said at
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
                v_lacks := v_lacks || array(
                    select a.attname || ' that is written, not computed'
                    from pg_catalog.pg_attribute as a
                    where
                        a.attrelid = t.relation and a.attname in ('mechanic_id', 'status')
                        and a.attgenerated <> ''
                    order by a.attname
                );
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
