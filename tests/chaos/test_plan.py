"""The plan of faults: from the seed alone, each as often as the others. And what the long tests of
the checker break is still there to be broken."""

from collections import Counter
from itertools import islice

import pytest

from chaos.faults import FAULTS
from chaos.run import plan
from stack import ROOT
from tests.chaos.test_run import BROKEN


def first_steps(seed: int, rounds: int) -> list[tuple[str, float, float]]:
    """Each fault, the first of its own random numbers, and the pause after it."""
    steps = islice(plan(FAULTS, seed, 1.5), rounds * len(FAULTS))
    return [(step.name, step.random.random(), step.pause) for step in steps]


def test_the_same_seed_is_the_same_plan() -> None:
    assert first_steps(seed=7, rounds=3) == first_steps(seed=7, rounds=3)
    assert first_steps(seed=7, rounds=3) != first_steps(seed=8, rounds=3)


def test_each_fault_comes_as_often_as_the_others() -> None:
    steps = first_steps(seed=7, rounds=3)
    assert Counter(name for name, _, _ in steps) == dict.fromkeys((n for n, _, _ in steps), 3)
    assert [name for name, _, _ in steps[: len(FAULTS)]] != [
        name for name, _, _ in steps[len(FAULTS) : 2 * len(FAULTS)]
    ]


def test_no_faults_are_an_empty_plan() -> None:
    assert list(plan([], 7, 1.5)) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_to_be_broken_is_there(name: str) -> None:
    broken = BROKEN[name]
    (function,) = (ROOT / "functions").glob(f"*/{broken.function}.sql")
    assert broken.before in function.read_text()
