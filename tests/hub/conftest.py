"""One hub for all, on a database of its own; each test has people of its own."""

from collections.abc import Iterator

import pytest

from stack.postgres import Cluster
from tests.database import TEMPLATE, Database, fresh_database
from tests.hub.listening import Hub, running


@pytest.fixture(scope="session")
def _heard(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, TEMPLATE) as database:
        yield database


@pytest.fixture(scope="session")
def hub(_heard: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running(_heard, tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def db(_heard: Database, hub: Hub) -> Database:
    """The hub's."""
    return _heard
