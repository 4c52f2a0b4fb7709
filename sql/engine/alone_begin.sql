-- As quiet_begin.sql; and from here on no other session installs or takes off anything in this
-- database, in whichever of a script's transactions: two at once would wait for each other's
-- indexes. Whoever comes second is told so soon. Released by alone_end.sql, or with the
-- session, which ends a moment after the script that stopped at an error. (Of one in which somebody
-- types it goes on, and has the lock still when they run the script again.)
\ir quiet_begin.sql
do $$
declare
    v_tries integer := 0;
    v_is_mine constant boolean := exists (
        select from pg_catalog.pg_locks as l
        where
            l.locktype = 'advisory' and l.pid = pg_backend_pid()
            and (l.classid, l.objid, l.objsubid) = (1178687058, 4294967293, 2)
            and l.database = (
                select d.oid from pg_catalog.pg_database as d
                where d.datname = current_database()
            )
    );
begin
    while not v_is_mine and not pg_try_advisory_lock(1178687058, -3) loop
        v_tries := v_tries + 1;
        if v_tries <= 4 then
            perform pg_sleep(0.1);
            continue;
        end if;
        raise lock_not_available using
            message = 'another session installs or takes off something here, and nothing was changed',
            detail = (
                select
                    coalesce(
                        'It is ' || string_agg(
                            pg_catalog.format(
                                'pid %s (%s, %s, connected since %s)',
                                l.pid, a.usename, a.application_name, a.backend_start
                            ),
                            ', '
                        ),
                        'It has just ended.'
                    )
                from pg_catalog.pg_locks as l
                left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
                where
                    l.locktype = 'advisory' and l.granted
                    and (l.classid, l.objid, l.objsubid) = (1178687058, 4294967293, 2)
                    and l.database = (
                        select d.oid from pg_catalog.pg_database as d
                        where d.datname = current_database()
                    )
            ),
            hint = 'Wait until it has ended, or end it: select pg_terminate_backend(pid). Then run '
            'this again.';
    end loop;
end;
$$;
