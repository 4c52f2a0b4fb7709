"""One stack for all of these tests, and those who use it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.services import Stack
from stack.temporary import temporary_stack
from tests.api.world import World


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with temporary_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def world(stack: Stack) -> Iterator[World]:
    with World(stack.env) as world:
        yield world


@pytest.fixture
def flag_off(world: World) -> Iterator[None]:
    world.turn(False)
    yield
    world.turn(True)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`make demo`, and the file it prints to."""
    output = tmp_path_factory.mktemp("demo") / "output"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack", "demo"],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            text=True,
        )
    yield process, output
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="session", autouse=True)
def _demo_meanwhile(request: pytest.FixtureRequest) -> None:
    """Let the demo's minute run beside the other tests."""
    if any("demo" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("demo")
