"""Old Supabase projects grant all on new objects to the Data API's roles, new ones nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.postgres import Cluster, run_psql
from stack.supabase_cli import run_supabase
from tests.database import Database, fresh_database

# Every privilege on everything of ours: (object, grantor, grantee, privilege, grantable).
PRIVILEGES = """
    with ours as (
        select oid, nspname, nspowner, nspacl from pg_namespace
        where nspname in ('public', 'dispatch')
    ), objects (name, acl) as (
        select 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) from ours
        union all
        select
            'relation ' || c.oid::regclass,
            coalesce(
                c.relacl,
                acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner)
            )
        from pg_class as c inner join ours on ours.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all
        select 'column ' || c.oid::regclass || '.' || a.attname, a.attacl
        from pg_attribute as a inner join pg_class as c on c.oid = a.attrelid
        inner join ours on ours.oid = c.relnamespace
        union all
        select 'function ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner))
        from pg_proc as p inner join ours on ours.oid = p.pronamespace
        union all
        select 'type ' || t.oid::regtype, coalesce(t.typacl, acldefault('T', t.typowner))
        from pg_type as t inner join ours on ours.oid = t.typnamespace
    )

    select o.name, a.grantor::regrole::text, a.grantee::regrole::text, a.privilege_type,
        a.is_grantable
    from objects as o cross join aclexplode(o.acl) as a
"""


def privileges(database: Database) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in database.sql(PRIVILEGES)}


@pytest.fixture
def old_db(cluster: Cluster) -> Iterator[Database]:
    """What an older Supabase project has."""
    with fresh_database(cluster, "template1") as database:
        run_psql(database.dsn(), "-f", str(ROOT / "stack/supabase_old_grants.sql"))
        yield database


@pytest.mark.further
def test_both_end_with_the_same_privileges(hosted: Database, old_db: Database) -> None:
    run_supabase(old_db.dsn(), "db", "push")
    found = privileges(hosted)
    kinds = {str(name).partition(" ")[0] for name, *_ in found}
    assert kinds == {"schema", "relation", "column", "function", "type"}
    assert privileges(old_db) == found


@pytest.mark.further
def test_without_the_revokes_they_would_not(
    hosted: Database, old_db: Database, project: Path
) -> None:
    """Each object of public would be open: no revoke on one is there in vain."""
    for path in (project / "supabase/migrations").iterdir():
        text = re.sub(r"'revoke all\b[^']*'", "'select %L'", path.read_text())  # in format()
        path.write_text(re.sub(r"\brevoke all\b[^;]*;", "", text))
    run_supabase(old_db.dsn(), "db", "push", project=project)
    opened = {name for name, *_ in privileges(old_db) - privileges(hosted)}
    # Not dispatch's relations: nothing is granted on those by default. Nor the words of the index,
    # which are open to all.
    revoked = {
        name
        for name, *_ in privileges(hosted)
        if re.match(r"function (?!dispatch\.mechanic_words)|relation (?!dispatch\.)", str(name))
    }
    assert len(revoked) > 60 and revoked <= opened
