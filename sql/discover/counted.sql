-- What counts the columns of session_requests by its text, and fails once there are three more. (A
-- trigger on the table is refused by up.sql, as then every write would fail.)
do $counted$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_table constant text := '(?:only\s+)?(?:public\.)?session_requests\M';
    -- Up to a word that begins another part of the statement.
    v_list constant text := '(?:(?!\m(?:from|select)\M)[^;])*';
    v_others constant text
    := '(?:(?!\m(?:where|select|group|order|limit|union|except|intersect)\M)[^;])*';
    -- The same with as much in brackets as there may be: what a function is given is one value.
    v_values constant text := '(?:(?!\m(?:from|select)\M)[^;()]'
    || '|\((?:[^;()]|\((?:[^;()]|\((?:[^;()]|\([^;()]*\))*\))*\))*\))*';
    v_star constant text := '\mselect\s+(?:' || v_values || ',\s*|all\s+|distinct\s+)?';
    v_from constant text
    := v_list || '\mfrom\s+(?:' || v_others || '(?:,|\mjoin)\s+)?' || v_table;
    -- Whole rows as they are read: of the table, or of what it is called there.
    v_read constant text := concat_ws(
        '|',
        v_star || '(?:session_requests\.)?\*' || v_from,
        v_star || '(\w+)\.\*' || v_from || '\s+(?:as\s+)?\1\M',
        '\mtable\s+' || v_table
    );
    v_several constant text := '\m(?:union|except|intersect)\M';
    -- They go elsewhere: as they are read, as they are taken out, one by one; or they stand beside
    -- another table's.
    v_copies constant text := concat_ws(
        '|',
        '\minsert\s+into\s[^;]*\mwhole_rows\M',
        '\m(?:delete\s+from|update)\s+' || v_table
        || '[^;]*\mreturning\s+(?:\w+\.)?\*[^;]*\minsert\s+into\s',
        '\mwhole_rows\M[^;]*\minsert\s+into\s[^;]*\mselect\s+(?:\w+\.)?\*',
        '(?:\msession_requests\M|\mwhole_rows\M).*\minsert\s+into\s[^;]*\m(?:values|select)\s*\(?\s*'
        || '\(?\w+\)?\.\*',
        '\mwhole_rows\M[^;]*' || v_several,
        v_several || '[^;]*\mwhole_rows\M'
    );
    -- One that a function was given, by its name or number.
    v_given constant text := '\minsert\s+into\s[^;]*\m(?:values|select)\s*\(?\s*'
    || '(?:[^;]*,\s*)?\(?[\w$]+\)?\.\*';
    v_found text[];
    v_jobs jsonb := '[]';
begin
    if (v_bound -> 'is_ours')::boolean or v_bound #> '{requests,preferred_mechanic_id}' is not null
    then
        return;
    end if;
    if
        exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and has_schema_privilege('cron', 'usage') and has_table_privilege('cron.job', 'select')
    then
        execute
            'select coalesce(jsonb_agg(jsonb_build_object('
            '''nr'', jobid, ''job'', coalesce(jobname, jobid::text), ''text'', command'
            ')), ''[]'') from cron.job where database = current_database()'
        into v_jobs;
    end if;
    v_found := array(
        with written as (
            select
                0 as kind,
                f.oid::bigint as nr,
                'the function ' || f.oid::regprocedure as what,
                l.lanname = 'sql' as is_sql,
                t.typrelid = to_regclass('public.session_requests') as is_row,
                t.typtype = 'c' or f.prorettype = 'record'::regtype as is_record,
                f.proargtypes::oid[] && g.types as is_given,
                f.prosrc as body
            from pg_catalog.pg_proc as f
            inner join pg_catalog.pg_language as l on l.oid = f.prolang
            inner join pg_catalog.pg_type as t on t.oid = f.prorettype
            cross join (
                select array_agg(y.oid) as types from pg_catalog.pg_type as y
                where y.typrelid = to_regclass('public.session_requests')
            ) as g
            where
                f.pronamespace <> 'pg_catalog'::regnamespace and l.lanname in ('sql', 'plpgsql')
                and (f.prosrc ~* '\msession_requests\M' or f.proargtypes::oid[] && g.types)
                and not exists (
                    select from pg_catalog.pg_trigger as h
                    where
                        h.tgrelid = to_regclass('public.session_requests') and h.tgfoid = f.oid
                )
            union all
            select
                1,
                j.nr,
                'the cron job ' || j.job,
                false,
                false,
                false,
                false,
                j.text
            from jsonb_to_recordset(v_jobs) as j (nr bigint, job text, text text)
        ),

        -- Without comments, without the quotes of a name; what is only asked for is not read.
        plain as (
            select
                w.*,
                regexp_replace(
                    replace(
                        regexp_replace(
                            w.body,
                            '(\me''(?:[^''\\]|\\.|'''')*''|''(?:[^'']|'''')*'')|--[^\n]*'
                            '|/\*[^*]*\*+(?:[^*/][^*]*\*+)*/',
                            '\1',
                            'gi'
                        ),
                        '"', ''
                    ),
                    '\mexists\s*\(\s*select\s+\*', 'exists (select', 'gi'
                ) as text
            from written as w
        )

        select p.what
        from plain as p
        cross join lateral regexp_replace(p.text, v_read, ' whole_rows ', 'gi') as r (text)
        where
            r.text ~* v_copies
            or p.is_given and p.text ~* v_given
            or case
                -- As its rows, from a list of the columns there are.
                when p.is_row
                    then
                        p.text !~ '\*'
                        and p.text ~* '\m(?:select|returning)\s+(?:\w+\.)?\w+\s*,'
                        and (p.is_sql or p.text ~* '\mreturn\s+query\M')
                -- Or its rows as those of another type.
                when p.is_record
                    then
                        r.text ~* '\mwhole_rows\M'
                        and (p.is_sql or r.text ~* '\mreturn\s+query\s+whole_rows\M')
            end
        order by p.kind, p.nr
    );
    if v_found <> '{}' then
        perform set_config(
            'discover.bound',
            jsonb_set(
                v_bound,
                '{questions}',
                v_bound -> 'questions' || to_jsonb(
                    format(
                        'Do these go on once session_requests has three more columns: %s? By their '
                        'text they put whole rows of it into another table, beside another''s, or '
                        'return it as other columns than it has; then they fail from the install '
                        'on. Let them name the columns, or add preferred_mechanic_id uuid, '
                        'priority_window_minutes integer and priority_notified_at timestamptz to '
                        'that table first.',
                        array_to_string(v_found, ', ')
                    )
                )
            )::text,
            true
        );
    end if;
end;
$counted$;
