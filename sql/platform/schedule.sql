-- One pg_cron job, once a minute; its procedure stays for nearly the whole minute and acts on time.
-- pg_cron lives in one database of a cluster only: elsewhere the install goes on with a warning,
-- and somebody must call the procedure each minute instead.
do $$
begin
    if
        not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and current_setting('cron.database_name', true) = current_database()
    then
        create extension pg_cron with schema pg_catalog;
    end if;

    if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
        raise warning 'pg_cron is not in database %: nothing is announced by itself',
            current_database()
            using hint = 'Create the extension pg_cron here and run the platform''s up.sql again, '
            'or have something else run "call dispatch.run_sweep()" once a minute.';
        return;
    end if;

    -- The same name again replaces the job.
    perform cron.schedule('dispatch-sweep', '* * * * *', 'call dispatch.run_sweep()');
end;
$$;
