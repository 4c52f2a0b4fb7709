"""Run plpgsql_check over every PL/pgSQL function of a freshly installed database."""

import sys

import psycopg

from stack.install import install
from stack.postgres import SUPERUSER, Cluster

# A trigger function is checked once for each table it serves.
CHECK = """
    select
        p.oid::regprocedure::text || coalesce(' on ' || t.tgrelid::regclass::text, ''),
        c.lineno,
        c.level,
        c.message
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
    left join pg_trigger as t on t.tgfoid = p.oid
    cross join lateral extensions.plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0), fatal_errors => false, performance_warnings => true
    ) as c
    where p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
    -- Meant: the flag is replaced while others use it, and an error is not folded into a plan.
    and not (
        c.message like 'routine is marked as %, should be IMMUTABLE'
        and p.proname in ('favorites_priority_enabled', 'raise_error')
    )
    -- Meant: a constant text for EXECUTE, as pg_cron's tables are not in every database.
    and not (
        c.message = 'immutable expression without parameters found' and p.proname = 'health'
    )
    order by 1, 2
"""


def main() -> int:
    with Cluster() as cluster:
        install(cluster.dsn())
        with psycopg.connect(cluster.dsn(SUPERUSER)) as connection:
            findings = connection.execute(CHECK).fetchall()
    for function, line, level, message in findings:
        print(f"{function}, line {line}: {level}: {message}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
