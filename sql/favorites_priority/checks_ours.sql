-- On a marketplace of ours.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and d.keys = translate(w.keys, '()', ''), false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run up.sql'
            when not (i.indisvalid and i.indisready) then 'invalid: drop it and run up.sql'
            when d.keys <> translate(w.keys, '()', '') then 'another: drop it and run up.sql'
            else 'valid, ' || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'session_requests_preferred_mechanic_idx',
            'preferred_mechanic_id WHERE preferred_mechanic_id IS NOT NULL'
        ),
        (
            'session_requests_priority_notified_idx',
            'priority_notified_at WHERE priority_notified_at IS NOT NULL '
            'AND status = ''pending''::public.session_request_status'
        ),
        (
            'session_requests_priority_deadline_idx',
            'CASE WHEN priority_notified_at AT TIME ZONE ''UTC''::text >= ? '
            'AND priority_notified_at AT TIME ZONE ''UTC''::text <= ? '
            'THEN priority_notified_at AT TIME ZONE ''UTC''::text '
            '+ make_intervalmins => priority_window_minutes AT TIME ZONE ''UTC''::text '
            'ELSE priority_notified_at END '
            'WHERE status = ''pending''::public.session_request_status '
            'AND notification_sent_at IS NULL'
        )
    ) as w (name, keys)
    left join pg_catalog.pg_index as i
        on
            i.indexrelid = to_regclass('public.' || w.name)
            and i.indrelid = to_regclass('public.session_requests')
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    -- And a day is written as the session's DateStyle wants it.
    cross join
        btrim(
            regexp_replace(
                regexp_replace(
                    translate(
                        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', ''),
                        '()', ''
                    ),
                    '''[^'']+''::timestamp without time zone', '?', 'g'
                ),
                '\s+', ' ', 'g'
            )
        ) as d (keys)
) as c
\gset

-- Whoever may read the row may read these of it: clients show the window.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'grants on the columns' as check_name,
        count(*) filter (
            where coalesce(
                has_column_privilege('authenticated', a.attrelid, a.attnum, 'select'), false
            )
            and not has_column_privilege('authenticated', a.attrelid, a.attnum, 'insert, update')
            and not has_column_privilege('anon', a.attrelid, a.attnum, 'select, insert, update')
        ) = 3 as ok,
        coalesce(
            'authenticated reads: ' || string_agg(w.name, ', ') filter (
                where has_column_privilege('authenticated', a.attrelid, a.attnum, 'select')
            ),
            'none: run up.sql'
        ) as detail
    from (
        values ('preferred_mechanic_id'), ('priority_window_minutes'), ('priority_notified_at')
    ) as w (name)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass('public.session_requests')
            and a.attname = w.name and not a.attisdropped
) as c
\gset
