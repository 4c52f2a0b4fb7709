"""One PostgreSQL for the whole run; each test has a database of its own, or an emptied one."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from stack.install import (
    ENGINE,
    MARKETPLACE,
    install,
    install_hub_role,
    install_push_role,
    install_webhook_role,
)
from stack.postgres import Cluster, binary
from tests.database import (
    ENGINE_TEMPLATE,
    TEMPLATE,
    Connection,
    Database,
    Idle,
    fresh_database,
)

SHARED = "shared"
# A database is a thousand small files, and a copy of one takes 0.4 s on a disk, 0.03 s in memory.
MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        dest="everything",
        help="also those that are marked further; so are those of a file or folder that is named",
    )
    parser.addoption(
        "--inputs",
        type=int,
        help="how many random inputs tests/fuzz tries in all; else a few, always the same",
    )
    parser.addoption(
        "--browser",
        choices=["chromium", "firefox"],
        default="chromium",
        help="what tests/dashboard looks at the pages in; the main journeys are made in both",
    )


def pytest_configure(config: pytest.Config) -> None:
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        # The processes of `make test` inherit it, and what they start.
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # look again
    # Debian's psql is a Perl script that looks for this one, which takes five times as long.
    programs = str(Path(binary("psql")).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([programs, os.environ["PATH"]])
    Cluster.prepared = prepared_data
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        share = 20_000 // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        first = 10_000 + share * int(worker.removeprefix("gw"))
        os.environ["STACK_PORTS"] = f"{first}-{first + share - 1}"
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        config.option.everything = True
    config.addinivalue_line(
        "markers",
        "further: shows once more what others show (of another marketplace, in another browser,"
        " size or command), or what seldom changes; `make test` leaves it to `make testall`",
    )
    config.addinivalue_line(
        "markers", "late: runs after its unit's others, so that pg_cron gets going"
    )


@cache
def prepared_data() -> Path:
    """What each cluster of a process begins with: initdb's and the stand-in's, made once."""
    Cluster.prepared = None
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="favorites-")))
    cluster.stop()
    Cluster.prepared = prepared_data
    return Path(cluster.get_data_directory())


def pytest_unconfigure() -> None:
    if prepared_data.cache_info().currsize:
        shutil.rmtree(prepared_data().parent)


# What takes long, or waits for a minute of pg_cron's, begins first, so that others run meanwhile;
# then the largest, and at the end the small ones: no process is the last one for long.
IN_FIREFOX = "tests/dashboard in Firefox"
FIRST = [
    "tests/dashboard", "tests/api", "tests/sql/test_sweep.py", IN_FIREFOX, "tests/fuzz",
    "tests/cli", "tests/bench", "tests/sql/test_install.py", "tests/sql/test_runbook.py",
    "tests/sql/test_theirs.py",
]  # fmt: skip


def unit(nodeid: str) -> str:
    """What one process runs from end to end: a folder's tests, which share what is started once and
    stay in order; but a file's in tests/sql, which share the cluster alone. With what needs Firefox
    tests/dashboard would be the last."""
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    if folder == "tests/dashboard" and nodeid.endswith("firefox]"):
        return IN_FIREFOX
    return file if folder == "tests/sql" else folder


class Units(LoadScopeScheduling):
    """For the processes of `make test`: each takes a unit, then the next."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units | None:
    """None of our own for `make fuzz`, whose few long tests go to whichever process is free."""
    config.option.loadscopereorder = False  # as sorted below
    return None if config.getoption("inputs") else Units(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.everything:
        further = {item for item in items if item.get_closest_marker("further")}
        config.hook.pytest_deselected(items=list(further))
        items[:] = [item for item in items if item not in further]
    sizes = Counter(unit(item.nodeid) for item in items)
    places = {name: place for place, name in enumerate(FIRST)}

    def place(item: pytest.Item) -> tuple[bool, int, int]:
        found = unit(item.nodeid)
        return (
            item.get_closest_marker("late") is not None,
            places.get(found, len(FIRST)),
            -sizes[found],
        )

    items.sort(key=place)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL; pg_cron's own database has the project, so that its job runs."""
    with Cluster() as cluster:
        install(cluster.dsn())
        install_webhook_role(cluster.dsn())
        install_push_role(cluster.dsn())
        install_hub_role(cluster.dsn())
        install(cluster.create_database(ENGINE_TEMPLATE), MARKETPLACE, ENGINE)
        template = cluster.create_database(TEMPLATE, ENGINE_TEMPLATE)
        install(template)
        install_webhook_role(template)
        install_push_role(template)
        install_hub_role(template)
        with Database(cluster, TEMPLATE) as database:
            database.sql("select dispatch.set_favorites_priority(true)")
        yield cluster


@pytest.fixture
def cron_db(cluster: Cluster) -> Iterator[Database]:
    """pg_cron's own database, where the jobs run; left as it was installed, the flag off."""
    with Database(cluster, "postgres") as database:
        yield database
        database.sql("select dispatch.set_favorites_priority(false)")
        database.empty()


@pytest.fixture
def db(cluster: Cluster) -> Iterator[Database]:
    """A fresh database with all three layers, the flag on."""
    with fresh_database(cluster, TEMPLATE) as database:
        yield database


@pytest.fixture
def engine_db(cluster: Cluster) -> Iterator[Database]:
    """A fresh database with marketplace and engine, without the feature."""
    with fresh_database(cluster, ENGINE_TEMPLATE) as database:
        yield database


@pytest.fixture
def empty_db(cluster: Cluster) -> Iterator[Database]:
    """What a new Supabase project has, and nothing of ours."""
    with fresh_database(cluster, "template1") as database:
        yield database


@pytest.fixture(scope="session")
def _idle(cluster: Cluster) -> Iterator[Idle]:
    cluster.create_database(SHARED, TEMPLATE)
    idle = Idle()
    yield idle
    idle.close()


@pytest.fixture
def shared(cluster: Cluster, _idle: Idle) -> Iterator[Database]:
    """Like `db`, but the same for all and emptied before each test: leave its schema alone."""
    with Database(cluster, SHARED, _idle) as database:
        database.empty()
        yield database


@pytest.fixture
def owner(shared: Database) -> Connection:
    return shared.owner


@pytest.fixture(scope="session")
def shared_dsn(cluster: Cluster, _idle: Idle) -> str:
    """The webhook app's, for the database of `shared`."""
    return cluster.dsn("webhook_app", SHARED)


@pytest.fixture
def webhook_dsn(shared: Database, shared_dsn: str) -> str:
    return shared_dsn
