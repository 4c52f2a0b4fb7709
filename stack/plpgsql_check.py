"""Run plpgsql_check over every PL/pgSQL function of freshly installed databases.

One is a marketplace of ours, the other one that was there first: some functions serve only that.
"""

import re
import sys
from dataclasses import dataclass

import psycopg

from stack import ROOT
from stack.install import install, install_on_theirs
from stack.postgres import SUPERUSER, Cluster, run_psql

THEIRS = ROOT / "examples/marketplaces/garage/schema.sql"


@dataclass(frozen=True)
class Finding:
    function: str
    line: int | None
    level: str
    message: str
    asks_whose: bool  # it is: whether the marketplace is ours

    def __str__(self) -> str:
        return f"{self.function}, line {self.line}: {self.level}: {self.message}"


NO_COLUMN = r'has no field "\w+"$|^column (r\.)?"?\w+"? .*does not exist$'

# A trigger function is checked once for each table it serves.
CHECK = r"""
    with checked as materialized (
        select p.oid, p.proname, p.prosrc, t.tgrelid
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
        left join pg_trigger as t on t.tgfoid = p.oid
        where
            p.pronamespace in ('public'::regnamespace, 'dispatch'::regnamespace)
            and (t.oid is not null or p.prorettype <> 'trigger'::regtype)
    )

    select distinct
        p.oid::regprocedure::text || coalesce(' on ' || p.tgrelid::regclass::text, ''),
        c.lineno,
        c.level,
        c.message,
        p.prosrc ~ 'dispatch\.governs_all\(\)'
    from checked as p
    cross join lateral extensions.plpgsql_check_function_tb(
        p.oid, coalesce(p.tgrelid, 0), fatal_errors => false, performance_warnings => true
    ) as c
    -- Meant: the flag is replaced while others use it, and an error is not folded into a plan.
    where not (
        c.message like 'routine is marked as %, should be IMMUTABLE'
        and p.proname in ('favorites_priority_enabled', 'raise_error')
    )
    -- Meant: it replaces functions, by EXECUTE.
    and not (
        c.message like 'routine is marked as VOLATILE, %' and p.proname = 'make_anew'
    )
    -- Meant: a constant text for EXECUTE, as pg_cron's tables are not in every database.
    and not (
        c.message = 'immutable expression without parameters found' and p.proname = 'health'
    )
    order by 1, 2
"""

# Trigger functions that serve no table, and so were not checked.
UNUSED = """
    select p.oid::regprocedure::text from pg_proc as p
    where
        p.pronamespace = 'dispatch'::regnamespace and p.prorettype = 'trigger'::regtype
        and not exists (select from pg_trigger as t where t.tgfoid = p.oid)
"""


def findings(cluster: Cluster) -> tuple[set[Finding], set[str]]:
    """What is found there, and which trigger functions are not checked, as they serve no table."""
    with psycopg.connect(cluster.dsn(SUPERUSER)) as connection:
        found = connection.execute(CHECK)
        lines = {Finding(*row) for row in found}
        return lines, {str(name) for (name,) in connection.execute(UNUSED)}


def is_meant(finding: Finding) -> bool:
    """What is only so where the marketplace was there first, and right."""
    if finding.function.startswith("dispatch.insert_request("):
        return "unused" in finding.message  # what that marketplace has no column for
    # A column of ours, in a branch for ours, or for the policy of ours.
    is_for_ours = finding.asks_whose or finding.function.startswith("dispatch.may_see_request(")
    return is_for_ours and re.search(NO_COLUMN, finding.message) is not None


def main() -> int:
    # pg_cron lives in one database of a cluster.
    with Cluster() as ours, Cluster() as theirs:
        install(ours.dsn())
        run_psql(theirs.dsn(), "-f", str(THEIRS))
        install_on_theirs(theirs.dsn())
        found, unchecked = findings(ours)
        found_there, unchecked_there = findings(theirs)
    there = {finding for finding in found_there - found if not is_meant(finding)}
    for finding in sorted(found, key=str):
        print(finding)
    for finding in sorted(there, key=str):
        print(f"{finding} (on a marketplace that was there first)")
    unused = unchecked & unchecked_there
    for name in sorted(unused):
        print(f"{name} serves no table, so it is not checked")
    return 1 if found or there or unused else 0


if __name__ == "__main__":
    sys.exit(main())
