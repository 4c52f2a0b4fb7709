"""A released migration is frozen; what changes later is a migration of its own."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.build_sql import MIGRATIONS, RELEASED, main
from stack.install import install
from stack.supabase_cli import run_supabase
from tests.database import Database, dump

LATER = datetime(2999, 1, 2, 3, 4, tzinfo=UTC)
NEXT = "299901020304"


def build(project: Path, *arguments: str, now: datetime = LATER) -> int:
    return main(list(arguments), project, now)


def files(project: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (project / MIGRATIONS).iterdir()}


def change(project: Path, file: str) -> None:
    path = project / file
    path.write_text(path.read_text().replace("comment on function", "-- x\ncomment on function", 1))


@pytest.fixture
def after_release(project: Path) -> Path:
    assert build(project, "--release") == 0
    return project


def test_the_migrations_are_current() -> None:
    assert main(["--check"]) == 0


def test_before_a_release_the_migrations_are_written_again(project: Path) -> None:
    (project / RELEASED).unlink(missing_ok=True)
    names = list(files(project))
    change(project, "functions/dispatch.sweep.sql")
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
    change(after_release, "functions/dispatch.set_favorites_priority.sql")
    assert build(after_release, "--check") == 1
    assert build(after_release) == 0 == build(after_release, "--check")
    feature = f"{NEXT}02_favorites_priority.sql"
    assert list(files(after_release).keys() - before.keys()) == [feature]

    # Until that one is released it is written again, and the platform's comes before it.
    change(after_release, "functions/dispatch.sweep.sql")
    change(after_release, "functions/dispatch.release_windows.sql")
    assert build(after_release, now=datetime.now(UTC)) == 0 == build(after_release, "--check")
    assert files(after_release).keys() - before.keys() == {feature, f"{NEXT}01_platform.sql"}
    assert before.items() <= files(after_release).items()

    assert build(after_release, "--release") == 0
    change(after_release, "functions/dispatch.sweep.sql")
    # Even when the clock says that it is no later than the last one.
    assert build(after_release) == 0
    assert max(files(after_release)) == "29990102030501_platform.sql"


def test_a_change_taken_back_leaves_no_migration(after_release: Path) -> None:
    before, path = files(after_release), after_release / "functions/dispatch.sweep.sql"
    text = path.read_text()
    change(after_release, "functions/dispatch.sweep.sql")
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
    empty_db: Database, platform_db: Database, after_release: Path
) -> None:
    """With the flag on and a request waiting, both stay; the schema is a new installation's."""
    run_supabase(empty_db.dsn(), "db", "push", project=after_release)
    empty_db.sql("select dispatch.set_favorites_priority(true)")
    request = empty_db.make_request(preferred=empty_db.make_mechanic())
    for file in ("dispatch.sweep", "dispatch.release_windows", "dispatch.priority_window"):
        path = after_release / f"functions/{file}.sql"
        path.write_text(path.read_text().replace("begin\n", "begin\n    -- new\n", 1))
    assert build(after_release) == 0
    with empty_db.unchanged():
        output = run_supabase(empty_db.dsn(), "db", "push", project=after_release).stderr
    assert [line.split()[-1] for line in output.splitlines() if "Applying" in line] == [
        f"{NEXT}01_platform.sql...",
        f"{NEXT}02_favorites_priority.sql...",
    ]
    assert empty_db.log(request) == ["priority_request"]

    for file in ("platform", "favorites_priority"):
        install(platform_db.dsn(), str(after_release / f"sql/{file}/up.sql"))
    platform_db.sql("select dispatch.set_favorites_priority(true)")
    assert "-- new" in dump(empty_db)
    assert dump(empty_db) == dump(platform_db)
