"""A project of Supabase's, and a copy of ours to change."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.postgres import Cluster
from stack.supabase_cli import run_supabase
from tests.database import Database


@pytest.fixture(scope="session")
def hosted() -> Iterator[Database]:
    """A project of its own, pg_cron included, installed and seeded by the CLI."""
    with Cluster() as cluster, Database(cluster, "postgres") as database:
        run_supabase(database.dsn(), "db", "push", "--include-seed")
        yield database


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the migrations are built from, and they themselves."""
    for folder in ("functions", "sql", "supabase"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path
