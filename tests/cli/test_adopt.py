"""`make adopt` and `make leave` on a marketplace that was there first, as a DBA runs them."""

import csv
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import MARKETPLACE, cron_command, install
from stack.network import free_ports
from stack.postgres import Cluster, binary, run_psql
from tests.database import Database, Row

GARAGE = ROOT / "examples/marketplaces/garage"
STRANGER = ROOT / "examples/marketplaces/stranger"
BINDING = ".local/binding.sql"
FRANK = "b1000000-0000-4000-8000-000000000001"
COLUMNS = ("preferred_mechanic_id", "priority_window_minutes", "priority_notified_at")
CARLA = "c1000000-0000-4000-8000-000000000001"


class Project:
    """A copy of what the two commands need, in which they leave their files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("functions", "push_app", "sql"):
            shutil.copytree(ROOT / name, path / name)
        (path / "stack").mkdir()
        for file in (ROOT / "stack").glob("*.py"):
            shutil.copy(file, path / "stack")

    def run(
        self, command: str, dsn: str | None, status: int = 0, answer: str | None = None, **more: str
    ) -> str:
        """What it says; `answer` is typed at a terminal, else there is none."""
        environment = {
            name: text
            for name, text in os.environ.items()
            if name not in ("DATABASE_URL", "YES", "BINDING")
        } | more
        if dsn is not None:
            environment["DATABASE_URL"] = dsn
        ours, theirs = pty.openpty()
        if answer is not None:
            os.write(ours, answer.encode())
        try:
            result = subprocess.run(
                [str(ROOT / ".venv/bin/python"), "-m", "stack", command],
                cwd=self.path,
                env=environment,
                stdin=subprocess.DEVNULL if answer is None else theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert result.returncode == status, result.stdout
        assert "Traceback" not in result.stdout
        return result.stdout

    @property
    def local(self) -> Path:
        return self.path / ".local"

    def saved(self, name: str) -> list[dict[str, str]]:
        """The rows of a file that the last `leave` wrote."""
        directory = max(self.local.glob("left-*"), key=lambda path: path.stat().st_mtime_ns)
        assert directory.stat().st_mode & 0o077 == 0
        with (directory / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def hosted() -> Iterator[Database]:
    """A project of its own, for pg_cron, which lives in one database of a cluster."""
    with Cluster() as cluster, Database(cluster, "postgres") as database:
        yield database


@pytest.fixture
def garage(hosted: Database) -> Database:
    """A marketplace with its people and with what its backend has done so far."""
    run_psql(hosted.dsn(), "-f", str(GARAGE / "schema.sql"))
    before_wishes = (GARAGE / "flows.sql").read_text().partition("\n-- 11 ")[0]
    hosted.owner.execute(before_wishes.encode())
    return hosted


def schema(database: Database) -> str:
    """All of it, as pg_dump writes it, other schemas and extensions too."""
    command = [binary("pg_dump"), "-d", database.dsn("supabase_admin"), "--schema-only"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def requests(database: Database) -> list[Row]:
    return database.sql("select * from public.session_requests order by id")


def commands(said: str) -> list[str]:
    return [line[2:] for line in said.splitlines() if line.startswith("$ ")]


def flag(database: Database, enabled: bool) -> None:
    database.sql("select dispatch.set_favorites_priority(%s)", enabled)


def book(database: Database) -> str:
    """A favourite's booking, as that marketplace's backend writes it."""
    return str(
        database.value(
            "insert into public.session_requests (customer_id, session_type,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " values (%s, 'chat', %s, 10, now()) returning id::text",
            CARLA,
            FRANK,
        )
    )


def test_adopt_and_leave_without_a_terminal(garage: Database, project: Project) -> None:
    before, rows = schema(garage), requests(garage)
    said = project.run("adopt", garage.dsn(), YES="1")
    assert "user_id: by foreign key to auth.users (id)" in said and "FAILED" not in said
    assert "The flag is off" in said and "set_favorites_priority(true)" in said
    assert garage.value("select dispatch.favorites_priority_enabled()") is False
    assert garage.value("select dispatch.governs_all()") is False
    assert garage.value("select count(*) from cron.job") == 3
    installed = schema(garage)
    nothing = dict.fromkeys(COLUMNS)
    assert installed != before and requests(garage) == [row | nothing for row in rows]

    again = project.run("adopt", garage.dsn(), YES="1")
    assert "its binding stays as it is" in again and "FAILED" not in again
    assert not any("discover.sql" in command for command in commands(again))
    assert schema(garage) == installed

    said = project.run("leave", garage.dsn())
    assert schema(garage) == before and requests(garage) == rows
    assert project.saved("request_events") == project.saved("stripe_events") == []
    assert "Nothing of ours" in project.run("leave", garage.dsn())


@pytest.mark.further
def test_each_step_is_a_line_that_can_be_run_alone(garage: Database, project: Project) -> None:
    before = schema(garage)
    environment = os.environ | {"DATABASE_URL": garage.dsn()}

    def run_alone(lines: list[str]) -> None:
        for line in lines:
            assert line.startswith('psql "$DATABASE_URL" ')
            command = ["sh", "-e", "-c", line]
            subprocess.run(command, cwd=project.path, env=environment, check=True, timeout=60)

    steps = commands(project.run("adopt", garage.dsn(), YES="1"))
    assert [re.search(r"sql/\S+", line)[0] for line in steps] == [  # type: ignore[index]
        "sql/discover.sql",
        "sql/engine/up.sql",
        "sql/favorites_priority/up.sql",
        "sql/favorites_priority/verify.sql",
    ]
    installed = schema(garage)
    back = commands(project.run("leave", garage.dsn()))
    run_alone(steps)
    assert schema(garage) == installed
    run_alone(back)
    assert schema(garage) == before


def test_it_asks_and_takes_no_for_an_answer(garage: Database, project: Project) -> None:
    before = schema(garage)
    said = project.run("adopt", garage.dsn(), status=1, answer="\n")
    assert "Install with this binding" in said and f"make adopt BINDING={BINDING}" in said
    assert "QUESTION" in said
    assert schema(garage) == before
    said = project.run("adopt", garage.dsn(), status=1)
    assert "YES=1" in said and schema(garage) == before
    assert "Interrupted" in project.run("adopt", garage.dsn(), status=130, answer="\4")
    assert schema(garage) == before

    # What somebody wrote in it meanwhile is not lost.
    (project.path / BINDING).write_text("-- mine\n")
    said = project.run("adopt", garage.dsn(), answer="y\n")
    assert "Installed" in said and "binding.before.sql" in said
    assert (project.local / "binding.before.sql").read_text() == "-- mine\n"


@pytest.mark.further
def test_a_binding_that_was_looked_over(garage: Database, project: Project) -> None:
    project.run("adopt", garage.dsn(), status=1)
    path = project.path / "looked over.sql"
    found = (project.path / BINDING).read_text()
    path.write_text(found.replace("'usd'::text", "'cad'::text"))
    assert path.read_text() != found
    said = project.run("adopt", garage.dsn(), YES="1", BINDING="looked over.sql")
    assert "discover.sql" not in said
    assert garage.value("select currency from dispatch.plans") == "cad"
    project.run("adopt", garage.dsn(), YES="1")
    assert garage.value("select currency from dispatch.plans") == "cad"
    project.run("adopt", garage.dsn(), YES="1", BINDING=BINDING)
    assert garage.value("select currency from dispatch.plans") == "usd"

    # One that will not do changes nothing.
    before = schema(garage)
    path.write_text(found.replace("m.city", "m.town"))
    said = project.run("adopt", garage.dsn(), status=3, YES="1", BINDING="looked over.sql")
    assert "m.town does not exist" in said and schema(garage) == before
    said = project.run("adopt", garage.dsn(), status=1, YES="1", BINDING="none.sql")
    assert "none.sql" in said


@pytest.mark.further
def test_again_with_the_flag_on(garage: Database, project: Project) -> None:
    project.run("adopt", garage.dsn(), YES="1")
    flag(garage, True)
    request = book(garage)
    said = project.run("adopt", garage.dsn(), answer="y\n")
    assert "The flag is on, as it was." in said
    assert garage.value("select dispatch.favorites_priority_enabled()") is True
    assert garage.log(request) == ["priority_request"]


@pytest.mark.further
def test_leaving_with_open_windows_keeps_what_was_logged(
    garage: Database, project: Project
) -> None:
    before = schema(garage)
    project.run("adopt", garage.dsn(), YES="1")
    flag(garage, True)
    request = book(garage)
    # What pg_cron runs, and would for another minute.
    loop = garage.open()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(loop.execute, cron_command(garage.dsn(), "dispatch-sweep").encode())
        project.run("leave", garage.dsn())
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            running.result()
    assert schema(garage) == before
    logged = [(row["event"], row["request_id"]) for row in project.saved("request_events")]
    assert logged == [("priority_request", request), ("new_request", request)]
    (row,) = project.saved("session_requests")
    assert (row["id"], row["preferred_mechanic_id"]) == (request, FRANK)
    assert garage.request(request)["status"] == "pending"


@pytest.mark.further
def test_what_would_be_lost_is_for_a_person_to_give_up(garage: Database, project: Project) -> None:
    before = schema(garage)
    project.run("adopt", garage.dsn(), YES="1")
    flag(garage, True)
    book(garage)
    garage.sql("delete from dispatch.request_events")
    garage.sql("insert into dispatch.stripe_events (id, type, payload) values ('evt_1', 'x', '{}')")
    installed = schema(garage)
    said = project.run("leave", garage.dsn(), status=1)
    assert "would lose" in said and "YES=1" in said
    said = project.run("leave", garage.dsn(), status=1, answer="n\n")
    assert "It stays." in said and schema(garage) == installed
    # The feature, and not the engine, whose ledger has an event that nobody has booked.
    said = project.run("leave", garage.dsn(), status=1, answer="y\nn\n")
    assert "1 Stripe events wait" in said
    assert (
        garage.value("select to_regprocedure('dispatch.set_favorites_priority(boolean)')") is None
    )
    project.run("leave", garage.dsn(), YES="1")
    assert [row["id"] for row in project.saved("stripe_events")] == ["evt_1"]
    assert schema(garage) == before


@pytest.mark.further
def test_a_marketplace_of_ours(hosted: Database, project: Project) -> None:
    install(hosted.dsn(), MARKETPLACE)
    before = schema(hosted)
    said = project.run("adopt", hosted.dsn(), YES="1")
    assert "reference marketplace" in said and "FAILED" not in said
    assert hosted.value("select dispatch.governs_all()") is True
    project.run("adopt", hosted.dsn(), YES="1")
    project.run("leave", hosted.dsn())
    assert schema(hosted) == before


@pytest.mark.further
def test_what_is_no_marketplace_is_refused(empty_db: Database, project: Project) -> None:
    before = schema(empty_db)
    said = project.run("adopt", empty_db.dsn(), status=3, YES="1")
    assert "sql/marketplace/up.sql" in said and schema(empty_db) == before
    run_psql(empty_db.dsn(), "-f", str(STRANGER / "schema.sql"))
    before = schema(empty_db)
    said = project.run("adopt", empty_db.dsn(), status=3, YES="1")
    assert "is another table" in said and "Nothing was changed." in said
    assert schema(empty_db) == before and not (project.path / BINDING).exists()


@pytest.mark.parametrize("command", ["adopt", "leave"])
def test_what_is_missing_is_said_in_words(command: str, project: Project) -> None:
    assert "Set DATABASE_URL" in project.run(command, None, status=1)
    (port,) = free_ports(0)
    nowhere = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    assert "Connection refused" in project.run(command, nowhere, status=1)
    said = project.run(command, nowhere, status=1, PATH=str(project.path))
    assert "psql is missing" in said
