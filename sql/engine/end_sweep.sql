-- The jobs go, and with them the sweep's loop that runs now: it would go on for a minute, and read
-- what is about to be dropped. (If this transaction is rolled back, pg_cron begins it again.)
do $$
declare
    v_found record;
begin
    -- pg_cron's tables are named only where it is.
    if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
        for v_found in
            execute
                'select j.jobid from cron.job as j '
                'where j.jobname in '
                '(''dispatch-sweep'', ''dispatch-start'', ''dispatch-retention'', ''dispatch-push'') '
                'and j.database = current_database()'
        loop
            execute 'select cron.unschedule($1::bigint)' using v_found.jobid;
        end loop;
    end if;

    for v_found in
        select a.pid from pg_catalog.pg_stat_activity as a
        where
            a.datname = current_database() and a.usename = current_user
            and a.pid <> pg_backend_pid() and a.state <> 'idle'
            and a.query ~ '\mdispatch\.(sweep_round|prune_events)\('
    loop
        perform pg_terminate_backend(v_found.pid, 5000);
    end loop;
    perform set_config('favorites_priority.lock_all', 'yes', true);  -- for locks.sql
end;
$$;
