"""How many inputs are tried: a few for each test, always the same (the more of them with `--all`),
or as many random ones in all as `--inputs` says, divided by how fast they are."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings

from stack.network import free_ports
from stack.postgres import Cluster
from stack.services import postgrest
from tests.database import fresh_database
from tests.fuzz.callers import ROLES, SECRET, Api, Caller

# Of calls, of a sequence's steps, of events (the first hundred are much alike); with `--all`.
FEW = {
    "test_any_call": (25, 100),
    "test_any_query": (25, 100),
    "test_any_sequence_of_calls": (120, 400),
    "test_any_event": (150, 200),
    "test_any_body_and_headers": (100, 100),
    "test_the_twins_answer_alike": (32, 180),
}
# How often a test's inputs are tried beside those of the slowest, so that all take about as long;
# but of sequences half of all, 100,000 steps of 200,000 inputs, as they are of all rules together.
SHARES = {
    "test_any_call": 1,
    "test_any_query": 4,
    "test_any_sequence_of_calls": 58,
    "test_any_event": 10,
    "test_any_body_and_headers": 20,
    "test_the_twins_answer_alike": 5,
}


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile(
        "fuzz",
        derandomize=config.getoption("inputs") is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    settings.load_profile("fuzz")


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> int:
    """How many this test is to try."""
    name, total = request.node.originalname, request.config.getoption("inputs")
    if not total:
        return FEW[name][request.config.option.everything]
    shares = [SHARES.get(getattr(item, "originalname", ""), 0) for item in request.session.items]
    return int(-(-total * SHARES[name] // sum(shares)))


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Iterator[Callable[[], int]]:
    """To be called with each input."""
    numbers = count()
    yield lambda: next(numbers)
    record_property("inputs", next(numbers))


@pytest.fixture(scope="session")
def api(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """PostgREST over a database of its own, as some callers may empty it."""
    (port,) = free_ports(0)
    with fresh_database(cluster) as database:
        service = postgrest(
            tmp_path_factory.mktemp("postgrest"), database.dsn("authenticator"), port, SECRET
        )
        with service.running():
            yield Api(f"http://127.0.0.1:{port}", database)


@pytest.fixture(params=ROLES)
def caller(api: Api, request: pytest.FixtureRequest) -> Iterator[Caller]:
    with api.caller(request.param) as caller:
        yield caller


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [each for kind in terminalreporter.stats.values() for each in kind]
    tried = sum(
        dict(report.user_properties).get("inputs", 0)
        for report in reports
        if getattr(report, "when", None) == "teardown"
    )
    terminalreporter.write_line(f"{tried} inputs tried in tests/fuzz")
