-- The report, the questions, the binding.
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
