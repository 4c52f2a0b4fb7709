-- A binding of before this was asked says nothing of it.
do $$
begin
    if
        to_regprocedure('dispatch.open_to()') is null
        and to_regprocedure('dispatch.governs_all()') is not null
    then
        create function dispatch.open_to() returns text
        language sql immutable security invoker set search_path = pg_catalog, pg_temp
        as $f$ select 'true' $f$;
    end if;
end;
$$;

\ir asking.sql

-- The binding must be whole, and of the right types: everything else is built on it.
insert into pg_temp.missing (what, remedy)
select
    case
        when a.attnum is null then format('the binding has no column %s of %s', w.name, w.relation)
        else
            format(
                'column %s of %s is %s, not %s', w.name, w.relation,
                format_type(a.atttypid, a.atttypmod), w.type
            )
    end,
    'mend it in the binding'
from (
    values
    ('dispatch.mechanics', 'id', 'uuid'),
    ('dispatch.mechanics', 'user_id', 'uuid'),
    ('dispatch.mechanics', 'display_name', 'text'),
    ('dispatch.mechanics', 'is_approved', 'boolean'),
    ('dispatch.mechanics', 'is_online', 'boolean'),
    ('dispatch.mechanics', 'last_seen_at', 'timestamptz'),
    ('dispatch.mechanics', 'brands', 'text[]'),
    ('dispatch.mechanics', 'city', 'text'),
    ('dispatch.mechanics', 'country', 'text'),
    ('dispatch.plans', 'code', 'text'),
    ('dispatch.plans', 'title', 'text'),
    ('dispatch.plans', 'session_type', 'text'),
    ('dispatch.plans', 'price_cents', 'integer'),
    ('dispatch.plans', 'currency', 'text'),
    ('dispatch.plans', 'is_active', 'boolean'),
    ('dispatch.favorites', 'customer_id', 'uuid'),
    ('dispatch.favorites', 'mechanic_id', 'uuid'),
    ('dispatch.favorites', 'favorited_at', 'timestamptz')
) as w (relation, name, type)
left join pg_catalog.pg_attribute as a
    on a.attrelid = to_regclass(w.relation) and a.attname = w.name
where a.attnum is null or a.atttypid <> to_regtype(w.type)
union all
select
    format('the binding has no function dispatch.%s() returns %s', w.name, w.type),
    'mend it in the binding'
from (
    values
    ('governs_all', 'boolean'),
    ('assigns_user_id', 'boolean'),
    ('approval_columns', 'text[]'),
    ('feed_is_private', 'boolean'),
    ('taken_off', 'text'),
    ('open_to', 'text')
) as w (name, type)
left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(format('dispatch.%I()', w.name))
where p.oid is null or p.prorettype <> to_regtype(w.type);

-- Triggers watch them.
do $$
begin
    if to_regprocedure('dispatch.approval_columns()') is not null then
        insert into pg_temp.missing (what, remedy)
        select
            format('dispatch.approval_columns() names %s, which mechanics has not', c.name),
            'mend it in the binding'
        from unnest(dispatch.approval_columns()) as c (name)
        left join pg_catalog.pg_attribute as a
            on
                a.attrelid = 'public.mechanics'::regclass and a.attname = c.name
                and a.attnum > 0 and not a.attisdropped
        where a.attnum is null;
    end if;
exception
    -- Told above.
    when datatype_mismatch or undefined_function then null;
end;
$$;

-- A booking locks the favourite's row; a view may be one that cannot be locked.
do $$
begin
    if to_regclass('dispatch.mechanics') is not null then
        execute 'explain select from dispatch.mechanics for share';
    end if;
exception
    when assert_failure or others then
        insert into pg_temp.missing (what, remedy)
        values (
            'rows of dispatch.mechanics cannot be locked: ' || sqlerrm,
            'mend it in the binding: an inner join, or a subselect in place of the join'
        );
end;
$$;

-- What is SQL in a text is read when the engine is bound to it.
do $$
declare
    v_text record;
    v_condition text;
    v_query text;
begin
    for v_text in
        select *
        from (
            values ('taken_off', 'r', 'a row r of'), ('open_to', 'session_requests', 'a row of')
        ) as w (name, alias, said)
    loop
        begin
            execute format('select dispatch.%I()', v_text.name) into v_condition;
            v_query := format(
                'select from public.session_requests as %I where (%s) is true limit 0',
                v_text.alias, v_condition
            );
            -- As it will stand in functions.
            perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
            execute v_query;
            perform set_config('search_path', 'pg_catalog, pg_temp', true);
        exception
            when assert_failure or others then
                -- (That there is no such function is told above.)
                insert into pg_temp.missing (what, remedy)
                select
                    format(
                        'dispatch.%s() is no condition on %s session_requests: %s',
                        v_text.name, v_text.said, sqlerrm
                    ),
                    'mend it in the binding'
                where to_regprocedure(format('dispatch.%I()', v_text.name)) is not null;
        end;
    end loop;
end;
$$;

\ir refuse.sql
