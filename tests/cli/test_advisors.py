"""What Supabase's own checks say of an installed project."""

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack import ROOT
from stack.build_types import TYPES, generate
from stack.install import install_on_theirs
from stack.postgres import Cluster, run_psql
from stack.supabase_cli import run_supabase
from tests.database import Database

EXPOSED = tomllib.loads((ROOT / "supabase/config.toml").read_text())["api"]["schemas"]


@contextmanager
def planted(database: Database, function: str) -> Iterator[None]:
    """While it is there, something must be found."""
    database.sql(f"create function public.planted() {function}")
    try:
        yield
    finally:
        database.sql("drop function public.planted()")


def advisors(database: Database) -> set[str]:
    output = run_supabase(database.dsn(), "db", "advisors", "--level", "info").stdout
    return {finding["name"] for finding in json.loads(output)}


def lint(database: Database, *arguments: str) -> str:
    arguments = ("db", "lint", "--level", "warning", "--fail-on", "warning", *arguments)
    return run_supabase(database.dsn(), *arguments).stderr


def open_definers(database: Database, role: str) -> list[str]:
    """Two rules that the CLI's advisors do not have yet, 0028 for anon, 0029 for authenticated."""
    found = database.sql(
        """
        select p.oid::regprocedure::text as function from pg_proc as p
        where
            p.prosecdef and p.pronamespace = any(%s::regnamespace[])
            and has_function_privilege(%s, p.oid, 'execute')
        """,
        EXPOSED,
        role,
    )
    return [row["function"] for row in found]


def seen_by_graphql(database: Database, role: str) -> set[str]:
    """Two more, 0026 for anon, 0027 for authenticated; they ask only where pg_graphql is."""
    found = database.sql(
        """
        select distinct c.relname from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where
            c.relkind in ('r', 'v', 'm', 'f')
            and c.relnamespace = any('{public, dispatch}'::regnamespace[])
            and has_column_privilege(%s, c.oid, a.attnum, 'select')
        """,
        role,
    )
    return {row["relname"] for row in found}


def test_no_advisor_has_anything_to_say(hosted: Database) -> None:
    # An index of a new project has not been used yet.
    assert advisors(hosted) <= {"unused_index"}
    with planted(hosted, "returns integer language sql as 'select 1'"):
        assert "function_search_path_mutable" in advisors(hosted)


@pytest.mark.further
def test_the_linter_has_no_error_and_no_warning(hosted: Database) -> None:
    assert "No schema errors found" in lint(hosted)
    body = "returns integer language plpgsql as 'declare v integer; begin return 1; end'"
    with planted(hosted, body), pytest.raises(RuntimeError, match="unused variable"):
        lint(hosted)


@pytest.mark.further
def test_on_a_marketplace_that_was_there_first() -> None:
    """As docs/installing.md says: nothing but errors in branches that do not run there."""
    with Cluster() as cluster, Database(cluster, "postgres") as theirs:
        run_psql(theirs.dsn(), "-f", str(ROOT / "examples/marketplaces/garage/schema.sql"))
        said_before = advisors(theirs)
        install_on_theirs(theirs.dsn())
        assert advisors(theirs) <= said_before | {"unused_index"}
        assert "No schema errors found" in lint(theirs, "--schema", "public")
        found = run_supabase(theirs.dsn(), "db", "lint", "--level", "warning").stdout
        issues = [issue for function in json.loads(found) for issue in function["issues"]]
        assert {function["function"].partition(".")[0] for function in json.loads(found)} == {
            "dispatch"
        }
        # A column or a table that is not there, or what a branch alone would read.
        states = {issue["sqlState"] for issue in issues if issue["level"] == "error"}
        assert states <= {"42703", "42P01"}


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_exposed_function_runs_as_its_owner(hosted: Database, role: str) -> None:
    assert EXPOSED == ["public"]
    assert open_definers(hosted, role) == []
    # PUBLIC may execute a new function.
    with planted(hosted, "returns integer language sql security definer as 'select 1'"):
        assert open_definers(hosted, role) == ["planted()"]


@pytest.mark.parametrize(
    ("role", "tables"),
    [
        ("anon", {"service_plans"}),
        (
            "authenticated",
            {"service_plans", "mechanics", "customer_favorites", "session_requests"},
        ),
    ],
)
def test_graphql_sees_the_tables_that_clients_read(
    hosted: Database, role: str, tables: set[str]
) -> None:
    """As docs/installing.md says: a price list for everyone, and more for who signed in."""
    assert seen_by_graphql(hosted, role) == tables


@pytest.mark.further
@pytest.mark.parametrize("language", TYPES)
def test_the_clients_types_are_current(hosted: Database, language: str) -> None:
    assert generate(hosted.dsn(), language) == (ROOT / TYPES[language]).read_text()
