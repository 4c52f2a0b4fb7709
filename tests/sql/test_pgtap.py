"""The pgTAP tests, each in its own transaction, by pg_prove."""

import os
import subprocess

from stack import ROOT
from tests.database import Database


def test_pgtap(db: Database) -> None:
    db.superuser().execute("create extension if not exists pgtap with schema extensions")
    files = sorted(map(str, (ROOT / "supabase/tests/database").glob("*.sql")))
    assert files
    options = "-c search_path=public,extensions -c client_min_messages=warning"
    result = subprocess.run(
        ["pg_prove", "-d", db.dsn(), *files],
        capture_output=True,
        text=True,
        env=os.environ | {"PGOPTIONS": options},
    )
    assert result.returncode == 0, result.stdout + result.stderr
