"""An owner who is no superuser, is bound by row level security, and was granted no more than this.

What it lacks is told in words, before anything changes, and by verify and health from then on.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import (
    DOWN,
    ENGINE,
    ENGINE_DOWN,
    FEATURE,
    MARKETPLACE,
    MARKETPLACE_DOWN,
    discover,
)
from stack.postgres import SUPERUSER, Cluster, run_psql
from tests.database import Database, catalogue, checkout, dump, fresh_database, rows, rpc, value

VERIFY = "sql/favorites_priority/verify.sql"
GARAGE = (ROOT / "examples/marketplaces/garage/schema.sql").read_text()
OWNED = ("mechanics", "customer_favorites", "service_plans", "session_requests")
NEEDED = (
    "grant create on schema public to stranger",
    "grant usage on schema auth, extensions to stranger",
    "grant select, update on auth.users to stranger",
    "create policy owners on auth.users to stranger using (true)",
    "grant pg_read_all_stats, pg_read_all_settings to stranger",
)


def settle(db: Database) -> None:
    """A garage of a role that may do no more with the database than this."""
    superuser = db.superuser()
    superuser.execute(GARAGE.encode())
    superuser.execute(
        "create role stranger login;"
        f'grant create on database "{db.name}" to stranger;'
        + ";".join(NEEDED)
        + "".join(f"; alter table {table} owner to stranger" for table in OWNED)
        + "; alter view open_session_requests owner to stranger;"
        "insert into service_plans (slug, name, price, duration_minutes, description)"
        " values ('chat10', 'Chat', 9.99, 10, '')"
    )


@pytest.fixture
def strangers(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, "template1") as db:
        settle(db)
        try:
            yield db
        finally:
            db.superuser().execute("drop owned by stranger cascade; drop role stranger")


@pytest.fixture
def binding(tmp_path: Path) -> Path:
    return tmp_path / "binding.sql"


def run(db: Database, *files: str) -> None:
    for file in files:
        run_psql(db.dsn("stranger"), "-f", str(ROOT / file))


def adopt(db: Database, binding: Path) -> None:
    binding.write_text(discover(db.dsn("stranger")))
    run_psql(db.dsn("stranger"), "-v", f"binding={binding}", "-f", str(ROOT / ENGINE))
    run(db, FEATURE)


def failed(db: Database, user: str) -> set[str]:
    command = ["psql", "-X", "-q", "-d", db.dsn(user), "-f", str(ROOT / VERIFY)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return set()
    _, found, names = result.stderr.splitlines()[0].partition("verify failed: ")
    assert found, result.stderr
    return set(names.split(", "))


def unwell(connection: psycopg.Connection[object]) -> dict[str, str]:
    found = rows(connection, "select * from dispatch.health() where not ok")
    return {row["check_name"]: row["detail"] for row in found}


POLICIES = {f"policy dispatch_topics_{name}" for name in ("join", "send", "only", "not_anon")}
# One after the other, and what is lacking until then.
TO_BROADCAST = {
    "grant usage on schema realtime to stranger": "usage on schema realtime",
    "grant insert on realtime.messages to stranger": "insert on realtime.messages",
    "create policy owners on realtime.messages for insert to stranger with check (true)": (
        "bypassrls, or a policy to insert into realtime.messages"
    ),
}


def test_it_comes_works_and_goes(strangers: Database, binding: Path) -> None:
    """Realtime's schema is not its own, and it may not look into it."""
    db, superuser = strangers, strangers.superuser()
    before = dump(db)
    for _ in range(2):
        adopt(db, binding)
    assert failed(db, "stranger") == POLICIES | {"grants of Realtime"}
    run_psql(db.dsn("stranger"), "-c", "select dispatch.set_favorites_priority(true)")
    owner = db.open("stranger")
    well = unwell(owner).keys()
    assert not well & {"rows_visible", "output_plugins_allowed"}

    # Whoever may makes the policies.
    run_psql(db.dsn(SUPERUSER), "-f", str(ROOT / "sql/engine/realtime.sql"))
    send = "select dispatch.send_notices('{customer:x}', '{e}', array['{}'])"
    for grant, lack in TO_BROADCAST.items():
        rows(db.open("stranger"), send)
        assert value(superuser, "select count(*) from realtime.messages") == 0
        told = f"stranger lacks {lack}: every Broadcast is lost"
        assert unwell(owner)["broadcast_partition"] == told
        assert failed(db, "stranger") == {"grants of Realtime"}
        superuser.execute(grant.encode())
    rows(db.open("stranger"), send)
    assert value(superuser, "select count(*) from realtime.messages") == 1
    assert "broadcast_partition" not in unwell(owner)
    assert failed(db, "stranger") == set()

    customer, user = db.make_customer(), db.make_customer()
    mechanic = value(
        superuser,
        "insert into mechanics (user_id, application_status) values (%s, 'approved') returning id",
        user,
    )
    backend = db.connect(role="service_role")
    event = checkout(customer, str(mechanic), plan="chat10")
    request = rpc(backend, "process_stripe_event", event=event)["request_id"]
    assert rpc(db.connect(user), "accept_session_request", request_id=request)

    run_psql(db.dsn("stranger"), "-c", "set favorites_priority.confirm_down = yes", "-f", DOWN)
    # They are not its own to drop.
    with pytest.raises(RuntimeError, match="policies dispatch_topics_… stay, and nothing was"):
        run(db, ENGINE_DOWN)
    superuser.execute("drop policy owners on realtime.messages")
    superuser.execute("revoke insert on realtime.messages from stranger")
    superuser.execute("revoke usage on schema realtime from stranger")
    with pytest.raises(RuntimeError, match="policies dispatch_topics_… stay, and nothing was"):
        run(db, ENGINE_DOWN)
    for policy in POLICIES:
        superuser.execute(f"drop {policy} on realtime.messages".encode())
    run(db, ENGINE_DOWN)
    assert dump(db) == before


LACKS = {
    'revoke create on database "{}" from stranger': (
        "stranger may not create schemas in the database {0}: grant create on database {0} to"
    ),
    "revoke create on schema public from stranger": (
        "stranger may not create functions in the schema public: grant create on schema public to"
    ),
    "revoke usage on schema auth from stranger": "HINT:  grant usage on schema auth to stranger",
    "revoke usage on schema public from public": "HINT:  grant usage on schema public to stranger",
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_it_lacks_is_told(strangers: Database, lack: str) -> None:
    strangers.superuser().execute(lack.format(strangers.name).encode())
    before = catalogue(strangers)
    with pytest.raises(RuntimeError, match="and nothing was changed") as raised:
        run(strangers, ENGINE)
    assert LACKS[lack].format(strangers.name) in str(raised.value)
    assert catalogue(strangers) == before


def test_the_reference_marketplace(cluster: Cluster) -> None:
    """Its tables point to the accounts, and the publication is somebody else's."""
    with fresh_database(cluster, "template1") as db:
        superuser = db.superuser()
        superuser.execute(
            f'create role stranger login; grant create on database "{db.name}" to stranger;'
            + ";".join(NEEDED)
            + "; ".join(["", *TO_BROADCAST])
        )
        try:
            before = dump(db)
            with pytest.raises(RuntimeError, match="nothing was changed") as raised:
                run(db, MARKETPLACE)
            assert "grant references on auth.users to stranger" in str(raised.value)
            superuser.execute("grant references on auth.users to stranger")
            run(db, MARKETPLACE, ENGINE, FEATURE)
            assert failed(db, "stranger") == POLICIES | {"table changes by Realtime"}
            run_psql(db.dsn(SUPERUSER), "-f", str(ROOT / "sql/engine/publication.sql"))
            run_psql(db.dsn(SUPERUSER), "-f", str(ROOT / "sql/engine/realtime.sql"))
            assert failed(db, "stranger") == set()
            run(db, DOWN)
            with pytest.raises(RuntimeError, match="stays in supabase_realtime, and nothing was"):
                run(db, ENGINE_DOWN)
            superuser.execute("alter publication supabase_realtime drop table session_requests")
            for policy in POLICIES:
                superuser.execute(f"drop {policy} on realtime.messages".encode())
            run(db, ENGINE_DOWN, MARKETPLACE_DOWN)
            assert dump(db) == before
        finally:
            superuser.execute("drop owned by stranger cascade; drop role stranger")


LOST = {
    "revoke usage on schema public from public": {"schemas of clients"},
    "revoke usage on schema auth from stranger": {"schemas of clients"},
    "revoke select on auth.users from stranger": {"rights of the owner"},
    "revoke update on auth.users from stranger": {"rights of the owner"},
    "revoke select on mechanics from stranger": {"rights of the owner"},
    "revoke update on session_requests from stranger": {"rights of the owner"},
    "revoke execute on function pg_catalog.pg_notify(text, text) from public": {
        "rights of the owner"
    },
}


def test_what_it_has_lost_is_told(strangers: Database, binding: Path) -> None:
    """Without these each booking fails, and not all of them leave something in the ledger."""
    db, superuser = strangers, strangers.superuser()
    adopt(db, binding)
    superuser.execute("; ".join(TO_BROADCAST).encode())
    run_psql(db.dsn(SUPERUSER), "-f", str(ROOT / "sql/engine/realtime.sql"))
    owner = db.open("stranger")
    assert not unwell(owner).keys() & {"rows_visible", "broadcast_partition"}
    for lost, checks in LOST.items():
        superuser.execute(lost.encode())
        assert failed(db, SUPERUSER) == checks, lost
        if "pg_notify" not in lost:
            assert unwell(owner)["rows_visible"].startswith("stranger lacks a grant, and"), lost
        superuser.execute(lost.replace("revoke", "grant").replace(" from ", " to ").encode())
    # A platform that renamed it, or took it away.
    superuser.execute("alter function realtime.send(jsonb, text, text, boolean) rename to send_one")
    assert failed(db, "stranger") == {"grants of Realtime"}
    assert "lacks realtime.send(" in unwell(owner)["broadcast_partition"]
    superuser.execute("alter function realtime.send_one rename to send")
    # What is told of Realtime is told, and the rest all the same.
    superuser.execute("revoke usage on schema realtime from stranger")
    assert failed(db, "stranger") == {"grants of Realtime"}
    assert "rows_visible" not in unwell(owner)


def test_pg_cron_that_it_may_not_use(cluster: Cluster) -> None:
    """Its tables are in a schema that is somebody else's to open."""
    with Database(cluster, "postgres") as db:
        superuser = db.superuser()
        superuser.execute(
            "create role stranger login; grant usage on schema dispatch, auth to stranger;"
            "grant execute on all functions in schema dispatch to stranger;"
            "grant select on all sequences in schema dispatch to stranger;"
            "grant select, update on auth.users to stranger"
        )
        try:
            # Jobs are read for what they say of whole rows, where they are shown.
            discover(db.dsn("stranger"))
            for file in ("requirements", "refuse"), ("rpcs", "may_go"):
                command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", db.dsn("stranger")]
                command += ["-c", "begin"]
                for each in file:
                    command += ["-f", str(ROOT / f"sql/engine/{each}.sql")]
                told = subprocess.run(command, capture_output=True, text=True, check=False)
                assert told.returncode == 3
                assert "grant usage on schema cron to stranger" in told.stderr
            owner = db.open("stranger")
            found = rows(owner, "select * from dispatch.cron_checks(now()) where not ok")
            assert {row["check_name"]: row["detail"] for row in found}["launcher_free"] == (
                "pg_cron's jobs are not shown: grant usage on schema cron to stranger"
            )
            assert value(owner, "select dispatch.prune_cron_runs('7 days')") == 0
        finally:
            superuser.execute("drop owned by stranger; drop role stranger")


def test_pg_cron_that_it_may_not_create(binding: Path) -> None:
    """It is then as where there is none, and the jobs come with the next up.sql."""
    with Cluster() as cluster, Database(cluster, "postgres") as db:
        settle(db)
        superuser = db.superuser()
        superuser.execute("drop extension pg_cron")
        adopt(db, binding)
        assert failed(db, "stranger") == POLICIES | {"grants of Realtime"}
        superuser.execute("create extension pg_cron; grant usage on schema cron to stranger")
        run(db, ENGINE, FEATURE)
        jobs = "select count(*) from cron.job where username = 'stranger'"
        assert value(superuser, jobs) == 3
