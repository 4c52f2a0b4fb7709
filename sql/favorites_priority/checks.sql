-- What of these was the marketplace's own before the feature stays as it was. And which columns of
-- mechanics the triggers there watch.
do $$
declare
    v_found text[];
    v_noted text[];
    v_columns text[];
begin
    begin
        v_columns := dispatch.watched_columns();
    exception
        when undefined_function or invalid_schema_name or insufficient_privilege then null;
    end;
    perform set_config(
        'favorites_priority.watched_columns', coalesce(v_columns, '{}')::text, true
    );
    begin
        select array_agg(b.what) into v_found
        from dispatch.found_before as b;
        -- As up.sql left it in a comment.
        v_noted := substring(
            col_description('dispatch.found_before'::regclass, 1) from '\{.*\}$'
        )::text[];
    exception
        -- Told by a check of the engine's.
        when undefined_table or undefined_column or invalid_schema_name then null;
    end;
    perform set_config(
        'favorites_priority.found_before', coalesce(v_found, v_noted, '{}')::text, true
    );
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'what was here before',
                'ok', v_found is not null or (cardinality(v_noted) > 1) is not true,
                'detail', case
                    when v_found is null and cardinality(v_noted) > 1
                        then 'not known to the triggers, as in a copy of the schema alone: run up.sql'
                    else array_to_string(coalesce(v_found, v_noted, '{}'), ', ')
                end
            )
        )::text,
        true
    );
end;
$$;

-- The three columns, as the contract has them.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'column ' || w.name as check_name,
        coalesce(
            a.atttypid = to_regtype(w.type)
            and (
                w.is_theirs
                or (
                    not a.attnotnull and not a.atthasdef
                    -- No estimate tells how many are whose.
                    and (coalesce(a.attstattarget, -1) = 0 or w.type <> 'uuid')
                )
            ),
            false
        ) as ok,
        case
            when a.attnum is null then 'missing: run up.sql'
            else
                format_type(a.atttypid, a.atttypmod)
                || case
                    when w.is_theirs then ', was here before, and stays as it was'
                    else
                        case when a.attnotnull then ': alter column … drop not null' else '' end
                        || case when a.atthasdef then ': alter column … drop default' else '' end
                        || case
                            when coalesce(a.attstattarget, -1) <> 0 and w.type = 'uuid'
                                then
                                    ': alter column … set statistics 0, and take from pg_statistic '
                                    'what it has of it'
                            else ''
                        end
                end
        end as detail
    from (
        select
            v.name,
            v.type,
            v.name = any(current_setting('favorites_priority.found_before')::text[]) as is_theirs
        from (
            values
            ('preferred_mechanic_id', 'uuid'),
            ('priority_window_minutes', 'integer'),
            ('priority_notified_at', 'timestamptz')
        ) as v (name, type)
    ) as w
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass('public.session_requests')
            and a.attname = w.name and not a.attisdropped
    union all
    -- A foreign key comes with a column of ours; one that was theirs has what it had.
    select
        'foreign key preferred_mechanic_id',
        k.oid is not null or w.is_theirs,
        case
            when k.oid is not null then 'to mechanics, on delete set null'
            when w.is_theirs then 'the column was here before, and stays as it was'
            else
                'missing, not validated, disabled or another action: drop it, then alter table … '
                'add constraint … foreign key (preferred_mechanic_id) references mechanics (id) '
                'on delete set null'
        end
    from (
        select
            'preferred_mechanic_id'
            = any(current_setting('favorites_priority.found_before')::text[]) as is_theirs
    ) as w
    left join pg_catalog.pg_constraint as k
        on
            k.conname = 'session_requests_preferred_mechanic_id_fkey'
            and k.conrelid = to_regclass('public.session_requests')
            and k.confrelid = to_regclass('public.mechanics')
            and k.contype = 'f' and k.confdeltype = 'n' and k.convalidated
            and not k.condeferrable
            and not exists (
                select from pg_catalog.pg_trigger as t
                where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A')
            )
) as c
\gset

-- From the feature's up.sql on the engine reads the columns, and the flag can be turned.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'binding of the window' as check_name,
        coalesce(
            p.prosrc like '%priority_notified_at%'
            and pg_get_viewdef(to_regclass('dispatch.requests')::oid) like '%priority_notified_at%',
            false
        ) as ok,
        case
            when p.oid is null then 'missing: run sql/engine/up.sql'
            when
                p.prosrc like '%priority_notified_at%'
                and pg_get_viewdef(
                    to_regclass('dispatch.requests')::oid
                ) like '%priority_notified_at%'
                then 'its columns are read'
            else 'its columns are not read: run up.sql'
        end as detail
    from (select 'as_request'::name as name) as w
    left join pg_catalog.pg_proc as p
        on p.proname = w.name and p.pronamespace = to_regnamespace('dispatch')
    union all
    select
        'setter of the flag',
        coalesce(p.prosrc like '%favorites_priority_enabled%' and p.proowner = n.nspowner, false),
        case
            when p.oid is null then 'missing: run up.sql'
            when p.prosrc not like '%favorites_priority_enabled%' or p.proowner <> n.nspowner
                then 'another: run up.sql'
            else 'dispatch.set_favorites_priority(boolean)'
        end
    from (select 'dispatch.set_favorites_priority(boolean)'::text as signature) as w
    left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(w.signature)
    left join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
) as c
\gset

-- The sweep must find the next deadline in its index, whatever the table's statistics say: by the
-- query and the setting of dispatch.pending_windows.
do $$
declare
    v_index constant text := case
        when current_setting('favorites_priority.governs_all')::boolean
            then 'session_requests_priority_deadline_idx'
        else 'windows_ends_at_idx'
    end;
    v_plan text := '';
    v_line text;
    v_error text;
begin
    set local enable_sort = off;
    -- Nor by what whoever asks has set for themselves.
    set local enable_indexscan = on;
    set local enable_nestloop = on;
    begin
        for v_line in
            execute
                $q$explain (costs off) select r.id, r.window_ends_at
                from dispatch.requests as r
                where r.is_pending and r.announced_at is null and r.window_ends_at <= now()
                order by r.window_ends_at
                limit 1000$q$
        loop
            v_plan := v_plan || v_line || E'\n';
        end loop;
    exception
        when
            undefined_column or undefined_table or invalid_schema_name or insufficient_privilege
            then v_error := sqlerrm;
    end;
    v_error := coalesce(
        v_error,
        case
            when strpos(v_plan, v_index) = 0 or strpos(v_plan, 'Sort') > 0
                then
                    'not by ' || v_index || ': run the up.sql of each layer, and see the checks of '
                    'that index and of dispatch.requests'
        end
    );
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'plan of the sweep',
                'ok', v_error is null,
                'detail', coalesce(v_error, 'by ' || v_index)
            )
        )::text,
        true
    );
end;
$$;

-- The policies are the marketplace's: nobody changed one since up.sql. A change that was meant is
-- taken note of by up.sql, run again.
do $$
declare
    v_then jsonb;
    v_now jsonb;
    v_is_on boolean;
    v_changed text;
    v_error text;
begin
    -- Where no client may read the table there is nobody to hide a row from.
    select
        c.relrowsecurity
        or not (
            has_any_column_privilege('authenticated', c.oid, 'select')
            or has_any_column_privilege('anon', c.oid, 'select')
        )
    into v_is_on
    from pg_catalog.pg_class as c
    where c.oid = to_regclass('public.session_requests');
    select substring(obj_description(t.oid, 'pg_trigger') from '\{.*\}')::jsonb into v_then
    from pg_catalog.pg_trigger as t
    where
        t.tgrelid = to_regclass('public.mechanics') and t.tgname = 'mechanics_release_windows';
    begin
        v_now := dispatch.policy_fingerprints();
    exception
        when undefined_function or invalid_schema_name or insufficient_privilege
            then v_error := sqlerrm;
    end;
    select string_agg(coalesce(a.key, b.key), ', ' order by coalesce(a.key, b.key)) into v_changed
    from jsonb_each(v_then) as a
    full join jsonb_each(v_now) as b on b.key = a.key
    where a.value is distinct from b.value;

    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'policies on the marketplace''s tables',
                'ok',
                coalesce(
                    v_error is null and v_then is not null and v_is_on and v_changed is null, false
                ),
                'detail',
                case
                    when v_error is not null then v_error
                    when v_then is null then 'not noted: run up.sql'
                    when v_is_on is not true
                        then
                            'row level security is off on session_requests: all see reserved '
                            'requests'
                    else
                        coalesce(
                            'differ since up.sql (if meant, run it again): ' || v_changed,
                            (select count(*) from jsonb_object_keys(v_now))
                            || ', as when up.sql was run'
                        )
                end
            )
        )::text,
        true
    );
end;
$$;

-- Readable at all, and then which way it stands (either is fine).
do $$
declare
    v_is_on boolean;
    v_error text := 'null: run up.sql';
begin
    begin
        v_is_on := dispatch.favorites_priority_enabled();
    exception
        when undefined_function or invalid_schema_name or insufficient_privilege
            then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'flag ENABLE_FAVORITES_PRIORITY',
                'ok', v_is_on is not null,
                'detail', case when v_is_on is null then v_error when v_is_on then 'on' else 'off' end
            )
        )::text,
        true
    );
end;
$$;

-- Whoever is not approved any more, or gone, loses the windows, those to come too; by the columns
-- that the binding names.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'trigger ' || w.name as check_name,
        coalesce(
            t.tgenabled in ('O', 'A')
            and t.tgfoid = to_regprocedure(format('dispatch.%I()', w.function)) and d.is_same,
            false
        ) as ok,
        case
            when t.oid is null then 'missing: run up.sql'
            when
                not d.is_same
                or t.tgfoid <> to_regprocedure(format('dispatch.%I()', w.function))
                then 'another: drop it and run up.sql'
            when t.tgenabled not in ('O', 'A') then 'disabled: alter table … enable trigger …'
            else
                coalesce(substring(pg_get_triggerdef(t.oid) from ' (WHEN .*) EXECUTE '), w.fires)
        end as detail
    from (
        values
        ('mechanics_note_last_turns'::name, 'BEFORE DELETE', 'note_turns'),
        ('mechanics_note_turns', 'BEFORE UPDATE', 'note_turns'),
        ('mechanics_release_windows', 'AFTER UPDATE', 'release_windows')
    ) as w (name, fires, function)
    left join pg_catalog.pg_trigger as t
        on t.tgname = w.name and t.tgrelid = to_regclass('public.mechanics')
    cross join
        lateral (
            select
                -- A column of a domain is written with a cast.
                regexp_replace(
                    translate(pg_get_triggerdef(t.oid), '()', ''),
                    '::[\w. ]*?(?= IS| OR| EXE)', '', 'g'
                ) = format(
                    'CREATE TRIGGER %s %s ON %s FOR EACH ROW%s EXECUTE FUNCTION dispatch.%s',
                    w.name, w.fires, t.tgrelid::regclass,
                    case
                        when w.fires like '%UPDATE'
                            then
                                ' WHEN ' || coalesce(
                                    string_agg(
                                        format('old.%1$I IS DISTINCT FROM new.%1$I', c.name), ' OR '
                                        order by c.name
                                    ),
                                    'false'
                                )
                    end,
                    w.function
                ) as is_same
            from
                unnest(
                    current_setting('favorites_priority.watched_columns')::name[]
                ) as c (name)
        ) as d
) as c
\gset
