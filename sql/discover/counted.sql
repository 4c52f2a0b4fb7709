-- What counts the columns of session_requests by its text, and fails once there are three more. (A
-- trigger on the table is refused by up.sql, as then every write would fail.)
do $counted$
declare
    v_bound constant jsonb := current_setting('discover.bound');
    v_table constant text := '(?:only\s+)?(?:public\.)?session_requests\M';
    v_read constant text := '\mselect\s+(?:\w+\.)?\*(?:(?!\mfrom\M)[^;])*\mfrom\s+' || v_table;
    v_several constant text := '\m(?:union|except|intersect)\M';
    -- Whole rows go elsewhere: as they are read, as they are taken out, one by one; or they stand
    -- beside another table's.
    v_copies constant text := concat_ws(
        '|',
        '(?i)\minsert\s+into\s[^;]*' || v_read,
        '\m(?:delete\s+from|update)\s+' || v_table
        || '[^;]*\mreturning\s+(?:\w+\.)?\*[^;]*\minsert\s+into\s',
        '\msession_requests\M.*\minsert\s+into\s[^;]*\mvalues\s*\(\s*\(?\w+\)?\.\*',
        v_read || '[^;]*' || v_several,
        v_several || '[^;]*' || v_read
    );
    v_found text[];
    v_jobs text[];
begin
    if (v_bound -> 'is_ours')::boolean or v_bound #> '{requests,preferred_mechanic_id}' is not null
    then
        return;
    end if;
    v_found := array(
        select 'the function ' || f.oid::regprocedure
        from pg_catalog.pg_proc as f
        inner join pg_catalog.pg_language as l on l.oid = f.prolang
        inner join pg_catalog.pg_type as t on t.oid = f.prorettype
        where
            f.pronamespace <> 'pg_catalog'::regnamespace and l.lanname in ('sql', 'plpgsql')
            and (
                f.prosrc ~ v_copies
                or case
                    -- As its rows, from a list of the columns there are.
                    when t.typrelid = to_regclass('public.session_requests')
                        then
                            f.prosrc !~ '\*'
                            and f.prosrc ~* '\m(?:select|returning)\s+(?:\w+\.)?\w+\s*,'
                            and (l.lanname = 'sql' or f.prosrc ~* '\mreturn\s+query\M')
                    -- Or its rows as those of another type.
                    when t.typtype = 'c' or f.prorettype = 'record'::regtype
                        then
                            f.prosrc ~* v_read
                            and (l.lanname = 'sql' or f.prosrc ~* ('\mreturn\s+query\s+' || v_read))
                end
            )
            and not exists (
                select from pg_catalog.pg_trigger as g
                where g.tgrelid = to_regclass('public.session_requests') and g.tgfoid = f.oid
            )
        order by f.oid
    );
    if
        to_regclass('cron.job') is not null and has_schema_privilege('cron', 'usage')
        and has_table_privilege('cron.job', 'select')
    then
        execute
            'select array_agg(''the cron job '' || coalesce(jobname, jobid::text) order by jobid)'
            ' from cron.job where database = current_database() and command ~ $1'
        into v_jobs using v_copies;
        v_found := v_found || v_jobs;
    end if;
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
