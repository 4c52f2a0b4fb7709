"""The pgTAP tests, each in its own transaction, by pg_prove."""

import os
import subprocess

import pytest

from stack import ROOT
from tests.database import Database

# What a project may have of its own, beside ours.
THEIRS = """
    create table public.articles (id bigint primary key);
    create policy rooms on realtime.messages
    for select to authenticated using (realtime.topic() like 'room:%');
    create function public.make_profile() returns trigger
    language plpgsql security definer set search_path = ''
    as $$ begin insert into public.mechanics (id) values (new.id); return new; end $$;
    create trigger make_profile after insert on auth.users
    for each row execute function public.make_profile()
"""


def populate(db: Database) -> None:
    """A marketplace in use: somebody in each role, and a request in each state."""
    customer, favourite = db.make_customer(), db.make_mechanic()
    db.sql("insert into service_plans values ('tow', 'Tow', 'video', 500, 'eur', true)")
    db.sql("insert into customer_favorites values (%s, %s)", customer, favourite)
    db.make_mechanic("pending")
    for status in ("accepted", "cancelled", "expired"):
        taken = favourite if status == "accepted" else None
        update = "update session_requests set status = %s, mechanic_id = %s where id = %s"
        db.sql(update, status, taken, db.make_request(customer))
    db.make_request(customer, preferred=favourite)
    db.superuser().execute(THEIRS)


@pytest.mark.parametrize("is_populated", [False, True])
def test_pgtap(db: Database, is_populated: bool) -> None:
    if is_populated:
        populate(db)
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
