"""A released migration is frozen; what changes later is a migration of its own."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.build_sql import MIGRATIONS, RELEASED, main
from stack.install import ENGINE, FEATURE, MARKETPLACE, install
from stack.postgres import Cluster
from stack.supabase_cli import run_supabase
from tests.database import Database, checkout, dump, fresh_database, rpc, value

LATER = datetime(2999, 1, 2, 3, 4, tzinfo=UTC)
NEXT = "299901020304"
SWEEP = "functions/sweep/dispatch.sweep.sql"  # the engine's
SETTER = "functions/operations/dispatch.set_favorites_priority.sql"  # the feature's


def build(project: Path, *arguments: str, now: datetime = LATER) -> int:
    return main(list(arguments), project, now)


def files(project: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (project / MIGRATIONS).iterdir()}


def change(project: Path, file: str) -> None:
    path = project / file
    path.write_text(path.read_text().replace("comment on function", "-- x\ncomment on function", 1))


def install_from(project: Path, database: Database) -> None:
    install(database.dsn(), *(str(project / file) for file in (MARKETPLACE, ENGINE, FEATURE)))


@pytest.fixture
def after_release(project: Path) -> Path:
    assert build(project, "--release") == 0
    return project


def test_the_migrations_are_current() -> None:
    assert main(["--check"]) == 0


def test_before_a_release_the_migrations_are_written_again(project: Path) -> None:
    (project / RELEASED).unlink(missing_ok=True)
    names = list(files(project))
    change(project, SWEEP)
    assert build(project, "--check") == build(project, "--release") == 1
    assert not (project / RELEASED).exists()
    assert build(project) == 0 == build(project, "--check")
    assert list(files(project)) == names


def test_a_release_alone_changes_no_migration(after_release: Path) -> None:
    before = files(after_release)
    command = ["sha256sum", "--check", "--strict", RELEASED]
    subprocess.run(command, cwd=after_release, check=True, stdout=subprocess.DEVNULL)
    assert build(after_release) == 0 == build(after_release, "--check")
    assert files(after_release) == before


def test_what_changes_after_it_is_a_later_migration(after_release: Path) -> None:
    before = files(after_release)
    change(after_release, SETTER)
    assert build(after_release, "--check") == 1
    assert build(after_release) == 0 == build(after_release, "--check")
    feature = f"{NEXT}03_favorites_priority.sql"
    assert list(files(after_release).keys() - before.keys()) == [feature]

    # Until that one is released it is written again, and the engine's comes before it.
    change(after_release, SWEEP)
    change(after_release, SETTER)
    assert build(after_release, now=datetime.now(UTC)) == 0 == build(after_release, "--check")
    assert files(after_release).keys() - before.keys() == {feature, f"{NEXT}02_engine.sql"}
    assert before.items() <= files(after_release).items()

    assert build(after_release, "--release") == 0
    change(after_release, SWEEP)
    # Even when the clock says that it is no later than the last one.
    assert build(after_release) == 0
    assert max(files(after_release)) == "29990102030502_engine.sql"


def test_a_change_taken_back_leaves_no_migration(after_release: Path) -> None:
    before, path = files(after_release), after_release / SWEEP
    text = path.read_text()
    change(after_release, SWEEP)
    assert build(after_release) == 0
    path.write_text(text)
    assert build(after_release, "--check") == 1
    assert build(after_release) == 0
    assert files(after_release) == before


@pytest.mark.parametrize("arguments", [(), ("--check",), ("--release",)])
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_released_file_that_is_not_as_it_was_is_refused(
    after_release: Path, harm: str, arguments: tuple[str, ...]
) -> None:
    path = max((after_release / MIGRATIONS).iterdir())
    if harm == "changed":
        path.write_text(path.read_text() + "\n")
    else:
        path.unlink()
    before = files(after_release)
    with pytest.raises(SystemExit, match=path.name):
        build(after_release, *arguments)
    assert files(after_release) == before


def test_a_database_of_the_last_release_is_upgraded(
    empty_db: Database, engine_db: Database, after_release: Path
) -> None:
    """With the flag on and a request waiting, both stay; the schema is a new installation's."""
    run_supabase(empty_db.dsn(), "db", "push", project=after_release)
    empty_db.sql("select dispatch.set_favorites_priority(true)")
    request = empty_db.make_request(preferred=empty_db.make_mechanic())
    for file in (SWEEP, SETTER, "functions/routing/dispatch.priority_window.sql"):
        path = after_release / file
        path.write_text(path.read_text().replace("begin\n", "begin\n    -- new\n", 1))
    assert build(after_release) == 0
    with empty_db.unchanged():
        output = run_supabase(empty_db.dsn(), "db", "push", project=after_release).stderr
    assert [line.split()[-1] for line in output.splitlines() if "Applying" in line] == [
        f"{NEXT}02_engine.sql...",
        f"{NEXT}03_favorites_priority.sql...",
    ]
    assert empty_db.log(request) == ["priority_request"]

    install_from(after_release, engine_db)
    engine_db.sql("select dispatch.set_favorites_priority(true)")
    assert "-- new" in dump(empty_db)
    assert dump(empty_db) == dump(engine_db)


NEW_SIGNATURE = """
create or replace function dispatch.decline_request_with_note(
    p_request_id uuid, p_reason text, p_note text
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer jsonb := dispatch.decline_request(p_request_id, p_reason);
begin
    update dispatch.request_events set note = p_note
    where request_id = p_request_id and event = 'request_declined' and actor_id = auth.uid();
    return v_answer;
end;
$$;
revoke all on function dispatch.decline_request_with_note(uuid, text, text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.decline_request_with_note(uuid, text, text) to authenticated;
"""


def ship_an_additive_change(project: Path) -> None:
    """As CONTRIBUTING.md says: a column, and a function with a new signature beside the old one."""
    tables = project / "sql/engine/tables.sql"
    column = "alter table dispatch.request_events add column if not exists note text;"
    tables.write_text(f"{tables.read_text()}\n\\ir locks.sql\n{column}\n")
    room = project / "functions/acceptance"
    (room / "dispatch.decline_request_with_note.sql").write_text(NEW_SIGNATURE)
    listed, old = room / "room.sql", "\\ir dispatch.decline_request.sql\n"
    assert old in listed.read_text()
    new = old.replace("decline_request", "decline_request_with_note")
    listed.write_text(listed.read_text().replace(old, old + new))


def test_requests_in_flight_outlive_the_upgrade(
    empty_db: Database, cluster: Cluster, after_release: Path
) -> None:
    db, stop = empty_db, threading.Event()
    run_supabase(db.dsn(), "db", "push", project=after_release)
    db.sql("select dispatch.set_favorites_priority(true)")
    favourite, other, customer = db.make_mechanic(), db.make_mechanic(), db.make_customer()
    backend = db.connect(role="service_role")
    reserved = db.make_request(customer, favourite)
    declined = db.make_request(customer, favourite)
    unpayable = checkout(customer, plan="new-plan")
    assert rpc(backend, "process_stripe_event", event=unpayable)["outcome"] == "error"
    undelivered = db.open()
    undelivered.execute("select set_config('dispatch.delivery', 'later', false)")
    untold = db.make_request(customer, connection=undelivered)
    (event,) = db.events(untold)
    assert event["delivered_at"] is None

    def book() -> int:
        count = 0
        while not stop.is_set():
            paid = checkout(customer, favourite if count % 2 else None)
            assert rpc(backend, "process_stripe_event", event=paid)["created"]
            count += 1
        return count

    def accept() -> int:
        connection, count = db.connect(other), 0
        while not stop.is_set():
            for request in rpc(connection, "list_open_session_requests"):
                rpc(connection, "accept_session_request", request_id=request["request_id"])
                count += 1
        return count

    ship_an_additive_change(after_release)
    assert build(after_release) == 0
    before = db.value("select count(*) from public.session_requests")
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(work) for work in (book, accept)]
        try:
            run_supabase(db.dsn(), "db", "push", project=after_release)
        finally:
            stop.set()
        booked, accepted = (each.result() for each in running)
    assert min(booked, accepted) > 0
    assert db.value("select count(*) from public.session_requests") == before + booked

    # Each goes on where it was.
    assert db.log(reserved) == ["priority_request"]
    assert rpc(db.connect(favourite), "accept_session_request", request_id=reserved)
    decline = "select dispatch.decline_request_with_note(%s, 'ill', 'call back')"
    assert value(db.connect(favourite), decline, declined)
    assert db.log(declined)[-1] == "new_request:declined"
    (event,) = (row for row in db.events(declined) if row["event"] == "request_declined")
    assert event["note"] == "call back"
    db.sql("select dispatch.deliver_events(10000)")
    assert not db.sql("select id from dispatch.request_events where delivered_at is null")
    db.sql("insert into public.service_plans values ('new-plan', 'New', 'chat', 1)")
    replayed = db.value("select dispatch.replay_stripe_event(%s)", unpayable["id"])
    assert replayed["outcome"] == "request_created"

    with fresh_database(cluster, "template1") as fresh:
        install_from(after_release, fresh)
        fresh.sql("select dispatch.set_favorites_priority(true)")
        assert "decline_request_with_note" in dump(fresh) and "note text" in dump(fresh)
        assert dump(db) == dump(fresh)
