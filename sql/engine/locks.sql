-- Takes the tables that are about to be changed: all, or none. Whoever waits for such a lock makes
-- everyone after them wait too. And customers come at these tables in more than one order (a
-- booking looks up a mechanic, a suspension writes requests), so that holding one and waiting for
-- the next could deadlock. Each try is therefore short, and between two of them everybody gets
-- through. It gives up after 20 seconds, or as told:
--   psql … -c "set favorites_priority.wait_for_locks = '10 minutes'" -f up.sql
\ir asking.sql
do $$
declare
    v_wait constant interval := coalesce(
        nullif(current_setting('favorites_priority.wait_for_locks', true), ''), '20 seconds'
    );
    v_give_up_at constant timestamptz := clock_timestamp() + v_wait;
    v_tables constant text[] := array(
        select w.name
        from (
            select v.name, min(v.number) as number
            from (
                -- Who reads a view that is replaced holds that, and comes to the tables then.
                values
                (1, 'dispatch.requests'),
                (2, 'dispatch.payments'),
                (2, 'dispatch.exclusions'),
                (3, 'dispatch.mechanics'),
                (4, 'public.session_requests'),
                (5, 'public.mechanics'),
                (6, 'dispatch.request_events'),
                (7, 'dispatch.stripe_events')
                union all
                select case c.relkind when 'v' then 3 else 8 end, c.oid::regclass::text
                from pg_catalog.pg_class as c
                where
                    c.relnamespace = to_regnamespace('dispatch')
                    and c.relkind = any(
                        case current_setting('favorites_priority.lock_all', true)
                            when 'yes' then '{r,v}'
                            when 'views' then '{v}'
                        end::"char"[]
                    )
            ) as v (number, name)
            group by v.name
        ) as w
        where to_regclass(w.name) is not null
        order by w.number, w.name
    );
    v_table text;
begin
    loop
        begin
            set local lock_timeout = '100ms';
            foreach v_table in array v_tables loop
                begin
                    execute format('lock table %s in access exclusive mode', v_table);
                exception
                    -- A view is locked with what it reads, and that may be another's, to read alone.
                    when insufficient_privilege then
                        if
                            not exists (
                                select from pg_catalog.pg_class as c
                                where c.oid = v_table::regclass and c.relkind = 'v'
                            )
                        then
                            raise;
                        end if;
                end;
            end loop;
            -- Until the transaction ends, for whatever else it locks. To try those again would be to
            -- begin anew; and an autovacuum, of a table's TOAST as well, makes room once it was
            -- waited for as long as deadlock_timeout, a second.
            set local lock_timeout = '2s';
            return;
        exception
            when lock_not_available then
                if clock_timestamp() > v_give_up_at then
                    raise lock_not_available using
                        message = format(
                            'no lock on %s in %s', array_to_string(v_tables, ', '), v_wait
                        ),
                        detail = coalesce(
                            (
                                select
                                    'Held by: ' || string_agg(
                                        distinct case
                                            when p.gid is not null
                                                then 'the prepared transaction ' || p.gid
                                            else
                                                format(
                                                    'pid %s (%s, %s since %s)', l.pid,
                                                    a.application_name, a.state, a.xact_start
                                                )
                                        end,
                                        ', '
                                    )
                                from pg_catalog.pg_locks as l
                                left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
                                left join pg_catalog.pg_prepared_xacts as p
                                    on
                                        l.pid is null
                                        and p.transaction in (
                                            select x.transactionid from pg_catalog.pg_locks as x
                                            where x.pid is null and x.virtualtransaction = l.virtualtransaction
                                        )
                                where
                                    l.relation = any(v_tables::regclass[])
                                    and l.database = (
                                        select d.oid from pg_catalog.pg_database as d
                                        where d.datname = current_database()
                                    )
                                    and l.granted and l.pid is distinct from pg_backend_pid()
                            ),
                            'Whoever held them has just ended.'
                        ),
                        hint = 'Wait for these transactions to end, or end them, and run it again.';
                end if;
        end;
        perform pg_sleep(0.2);
    end loop;
end;
$$;
\ir making.sql
