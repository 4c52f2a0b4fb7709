"""One PostgreSQL for the whole run; each test has a database of its own, or an emptied one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from stack.install import (
    ENGINE,
    MARKETPLACE,
    install,
    install_push_role,
    install_webhook_role,
)
from stack.postgres import Cluster
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
    config.addinivalue_line("markers", "late: runs after the others, while pg_cron gets going")


class Folders(LoadScopeScheduling):
    """For the two processes of `make test`: each takes a folder's tests, then the next folder.

    So what a folder's tests share is started once, and they stay in order.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Folders | None:
    """None of our own for `make fuzz`, whose few long tests go to whichever process is free."""
    return None if config.getoption("inputs") else Folders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("late") is not None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL; pg_cron's own database has the project, so that its job runs."""
    with Cluster() as cluster:
        install(cluster.dsn())
        install_webhook_role(cluster.dsn())
        install_push_role(cluster.dsn())
        install(cluster.create_database(ENGINE_TEMPLATE), MARKETPLACE, ENGINE)
        template = cluster.create_database(TEMPLATE, ENGINE_TEMPLATE)
        install(template)
        install_webhook_role(template)
        install_push_role(template)
        with Database(cluster, TEMPLATE) as database:
            database.sql("select dispatch.set_favorites_priority(true)")
        yield cluster


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
