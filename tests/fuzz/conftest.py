"""How many inputs each test tries: a few that are always the same, or as many random ones as
`--inputs` says."""

import pytest
from hypothesis import HealthCheck, settings

FEW = 200


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


@pytest.fixture(scope="session")
def inputs(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("inputs") or FEW
