"""Where a marketplace was there first, no statement without a favourite tells that ours is too."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from stack.postgres import Cluster
from tests.further import further_but
from tests.fuzz import twins
from tests.fuzz.twins import SHAPES, Statements, Step, Twins

STEPS = 12
Templates = Callable[[str], tuple[str, str]]
# A difference in the twin that has ours on it, as a mistake of ours would make one.
TOUCH = """
create function public.planted() returns trigger language plpgsql security definer as $$
begin
    {}
end;
$$;
create trigger planted {} on public.{} for each row {} execute function public.planted()
"""
SWEEP = """
create or replace function dispatch.expire_requests(p_limit integer, p_now timestamptz)
returns integer language sql"""
PLANTS = {
    "a value is touched": TOUCH.format(
        "new.requested_brand := 'Audi'; return new;",
        "before update",
        "session_requests",
        "when (new.status = 'completed' and old.status = 'accepted')",
    ),
    "a change back to pending is refused": TOUCH.format(
        "raise exception 'no' using errcode = 'PT409';",
        "before update",
        "session_requests",
        "when (new.status = 'pending' and old.status <> 'pending')",
    ),
    "a row is written once more": TOUCH.format(
        "update public.session_requests set id = id where id = new.id; return null;",
        "after insert",
        "session_requests",
        "",
    ),
    "the feed is told": TOUCH.format(
        "perform pg_notify('session_requests_feed', '{}'); return null;",
        "after insert",
        "session_requests",
        "when (new.routing_type = 'workshop_only')",
    ),
    "a warning": TOUCH.format("raise warning 'w'; return null;", "after update", "mechanics", ""),
    "a row of the log": TOUCH.format(
        "insert into dispatch.windows values (new.id, now()); return null;",
        "after insert",
        "session_requests",
        "",
    ),
    "a policy that hides": "alter policy dispatch_reserved on public.session_requests"
    " using (priority_notified_at is not null)",
    "a sweep that governs all": f"""{SWEEP} as $$
        with done as (
            update public.session_requests set status = 'expired'
            where status = 'pending' and expires_at < now() returning 1
        )
        select count(*)::integer from done $$""",
    "a sweep that writes the same again": f"""{SWEEP} as $$
        update public.session_requests set status = status; select 0 $$""",
    "a new name for an error": "alter table public.session_requests"
    " rename constraint session_requests_status_check to status_check",
    "a channel that is shut": "create policy planted on realtime.messages as restrictive"
    " for select to authenticated using (topic <> 'session_requests_feed')",
}


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
@pytest.mark.parametrize("pair", further_but(["garage"], SHAPES.keys()), indirect=True)
def test_the_twins_answer_alike(
    pair: Twins, enabled: bool, inputs: int, tried: Callable[[], int]
) -> None:
    pair.after.connection.execute("select dispatch.set_favorites_priority(%s)", [enabled])
    done = set[str]()

    @settings(max_examples=max(1, inputs // STEPS))
    @given(st.lists(Statements(pair.shape).steps(), min_size=1, max_size=STEPS))
    @example(Statements(pair.shape).tour())
    def check(steps: list[Step]) -> None:
        for answer in pair.check(steps):
            tried()
            done.add(f"{answer[0]}")

    check()
    # Most were done, and some were refused: by a right, by a key, by what was there.
    assert {"INSERT 0 1", "UPDATE 0", "UPDATE 1", "DELETE 1", "SELECT 1"} <= done, done
    assert {"42501", "23505", "P0409"} <= done, done


@pytest.mark.further
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_difference_is_found(pair: Twins, plant: str) -> None:
    pair.after.connection.execute(PLANTS[plant].encode())

    @settings(
        max_examples=1000, phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False
    )
    @given(st.lists(Statements(pair.shape).steps(), min_size=1, max_size=STEPS))
    @example(Statements(pair.shape).tour())
    def check(steps: list[Step]) -> None:
        pair.check(steps)

    with pytest.raises(AssertionError):
        check()
