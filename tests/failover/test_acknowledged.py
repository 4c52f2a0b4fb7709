"""The failover's checker misses what was answered and is not there, and nothing else.

The failover itself is `make failover`; `python -m failover --asynchronous` shows a real loss.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chaos.record import LOST, OK, Answer, Database, Posting, Record
from failover.acknowledged import count, lost


def posting(event: str, outcome: str) -> Posting:
    kind = "checkout.session.completed"
    return Posting(event, kind, "carla", "quick-chat", "cs", "pi", outcome, 0, 1)


def answer(user: str, action: str, outcome: str, request: str | None, *shown: str) -> Answer:
    return Answer(user, action, outcome, 0, 1, request, frozenset(shown))


def event(name: str, actor: str | None) -> dict[str, Any]:
    return {"event": name, "actor_id": actor}


class Scene:
    """Carla pays for `r`, Mona accepts and completes it; the backend writes `s`, which Frank
    declines. Some of what was not answered is there all the same, some is not."""

    def __init__(self) -> None:
        self.ledger: dict[str, Any] = {"evt": {"processed_at": 1}, "kept": {"processed_at": 1}}
        self.events: dict[str, list[Any]] = {
            "r": [
                event("new_request", None),
                event("request_accepted", "mona"),
                event("request_completed", "mona"),
            ],
            "s": [event("priority_request", None), event("request_declined", "frank")],
        }
        self.record = Record(
            postings=[
                posting("evt", LOST),
                posting("evt", OK),
                posting("evt", OK),
                posting("kept", LOST),
                posting("gone", LOST),
            ],
            answers=[
                answer("mona", "accept", OK, "r"),
                answer("mona", "accept", OK, "r"),
                answer("frank", "accept", "request_taken", "r"),
                answer("mona", "complete", OK, "r"),
                answer("", "insert", OK, None, "s"),
                answer("frank", "decline", OK, "s"),
                answer("carla", "cancel", LOST, "s"),
                answer("mona", "list", OK, None, "s"),
            ],
        )

    def lost(self) -> list[str]:
        return list(lost(self.record, Database({}, self.events, self.ledger, frozenset(), now=2)))


def unprocessed(scene: Scene) -> None:
    scene.ledger["evt"] = {"processed_at": None}


def gave_back(action: str) -> Callable[[Scene], None]:
    def answered(scene: Scene) -> None:
        scene.record.answers.append(answer("mona", action, OK, "r"))

    return answered


def another_accepted(scene: Scene) -> None:
    scene.events["r"][1] = event("request_accepted", "frank")


LOSSES: dict[str, Callable[[Scene], object]] = {
    "evt was": lambda scene: scene.ledger.pop("evt"),
    "evt was answered with 200": unprocessed,
    "accept of r by mona": lambda scene: scene.events["r"].pop(1),
    "accept of r by mona was": another_accepted,
    "complete of r by mona": lambda scene: scene.events["r"].pop(2),
    "release of r by mona": gave_back("release"),
    "reopen of r by mona": gave_back("reopen"),
    "decline of s by frank": lambda scene: scene.events["s"].pop(1),
}


def test_nothing_is_lost() -> None:
    scene = Scene()
    assert scene.lost() == []
    assert count(scene.record) == 5


@pytest.mark.parametrize("found", LOSSES)
def test_a_loss_is_found(found: str) -> None:
    scene = Scene()
    LOSSES[found](scene)
    (line,) = scene.lost()
    assert line.startswith(found)


def test_a_request_that_is_gone_takes_its_declines_along() -> None:
    scene = Scene()
    del scene.events["s"]
    assert [line.split(",")[0] for line in scene.lost()] == [
        "insert of s by the backend was answered",
        "decline of s by frank was answered",
    ]
