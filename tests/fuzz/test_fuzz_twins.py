"""On a marketplace that was there first: without a favourite, no statement can tell ours is there."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stack.postgres import Cluster
from tests.fuzz import twins
from tests.fuzz.twins import SHAPES, Statements, Step, Twins

STEPS = 12
Templates = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def templates(cluster: Cluster) -> Templates:
    made: dict[str, tuple[str, str]] = {}

    def make(shape: str) -> tuple[str, str]:
        if shape not in made:
            made[shape] = twins.make(cluster, shape)
        return made[shape]

    return make


@pytest.fixture
def pair(cluster: Cluster, templates: Templates, request: pytest.FixtureRequest) -> Iterator[Twins]:
    shape = getattr(request, "param", "garage")
    with twins.twins(cluster, shape, templates(shape)) as pair:
        yield pair


@pytest.mark.parametrize("enabled", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("pair", SHAPES, indirect=True)
def test_the_twins_answer_alike(
    pair: Twins, enabled: bool, inputs: int, tried: Callable[[], int]
) -> None:
    pair.after.connection.execute("select dispatch.set_favorites_priority(%s)", [enabled])
    answered = Counter[str]()

    @settings(max_examples=max(60, inputs // STEPS))
    @given(st.lists(Statements(pair.shape).steps(), min_size=1, max_size=STEPS))
    def check(steps: list[Step]) -> None:
        for answer in pair.check(steps):
            tried()
            answered[str(answer[0])] += 1  # type: ignore[index]

    check()
    print(answered)
