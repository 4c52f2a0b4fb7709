"""The checker finds each fault in a record that is sound without it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.checks import CHECKS, violations
from chaos.record import (
    LOST,
    OK,
    Answer,
    Database,
    Intervention,
    Listening,
    Notice,
    Posting,
    Push,
    Record,
)

CARLA, FRANK, MONA = "carla", "frank", "mona"
TOPICS = {
    CARLA: ("customer:carla",),
    FRANK: ("mechanic:frank", "session_requests_feed"),
    MONA: ("mechanic:mona", "session_requests_feed"),
}
RESERVED = ["customer:carla", "mechanic:frank"]
OPEN = ["customer:carla", "session_requests_feed"]
TAKEN = ["customer:carla", "mechanic:mona", "session_requests_feed"]


class Scene:
    """Carla pays for `r`, reserved for Frank from 100 to 160. Nobody answers, it is broadcast, and
    Mona accepts. `reserved` is still reserved, until 1000. Everyone listens all the time."""

    def __init__(self) -> None:
        self.record = Record(topics=dict(TOPICS), listed={user: [] for user in TOPICS})
        self.record.listening = {user: Listening(user, user, 90, 490) for user in TOPICS}
        ledger = {"evt": {"processed_at": 101}}
        self.database = Database({}, {}, ledger, frozenset({FRANK, MONA}), now=500)
        self.event("r", "priority_request", 100, RESERVED, window_ends=160)
        self.event("r", "new_request", 160, OPEN, is_fallback_broadcast=True, reason="window_ended")
        self.event("r", "request_accepted", 170, TAKEN)
        self.event("reserved", "priority_request", 400, RESERVED, window_ends=1000)
        self.request("r", status="accepted", mechanic_id=MONA, checkout="cs", payment="pi")
        self.request("reserved", status="pending", notification_sent_at=None)
        for event in self.events("r") + self.events("reserved"):
            self.tell(event)
        self.post(OK)
        self.answer(MONA, "accept", "request_not_found", 110, "r")
        self.answer(MONA, "list", OK, 165, shown={"r"})
        self.answer(MONA, "accept", OK, 171, "r")
        self.answer(FRANK, "accept", "request_taken", 180, "r")
        self.answer(FRANK, "list", OK, 410, shown={"reserved"})
        self.answer(MONA, "list", LOST, 410)
        self.database.with_device = frozenset({FRANK})
        for event in (1, 4):
            self.push(event)

    def event(
        self, request: str, name: str, at: float, topics: list[str], **columns: Any
    ) -> dict[str, Any]:
        event = {
            "id": 1 + sum(map(len, self.database.events.values())),
            "request_id": request,
            "event": name,
            "actor_id": columns.pop("actor_id", None),
            "topics": topics,
            "at": at,
            "committed": at,
            "window_ends": columns.pop("window_ends", None),
            "delivered_at": at,
            "payload": columns,
        }
        self.database.events.setdefault(request, []).append(event)  # type: ignore[attr-defined]
        return event

    def events(self, request: str) -> list[Any]:
        return self.database.events[request]

    def request(self, request: str, **columns: Any) -> None:
        none = {"mechanic_id": None, "checkout": None, "payment": None}
        given = {"notification_sent_at": 160, "customer_id": CARLA, "preferred_mechanic_id": FRANK}
        row = none | given | columns
        self.database.requests[request] = row  # type: ignore[index]

    def row(self, request: str) -> Any:
        return self.database.requests[request]

    def tell(self, event: dict[str, Any]) -> None:
        for user, topics in TOPICS.items():
            if heard := set(topics) & set(event["topics"]):
                self.record.listed[user].append(event["id"])
                for topic in heard:
                    self.hear(user, event, topic)

    def hear(self, user: str, event: dict[str, Any], topic: str) -> None:
        at = event["at"] + 0.01
        notice = Notice(user, user, topic, event["id"], event["request_id"], at)
        self.record.notices.append(notice)

    def push(self, event: int, outcome: str | None = "sent") -> None:
        """Frank's phone is told of a window."""
        first = next(e[0] for e in self.database.events.values() if e[0]["id"] == event)
        row = {
            "id": event,
            "event_id": event,
            "request_id": first["request_id"],
            "user_id": FRANK,
            "is_reminder": False,
            "outcome": outcome,
            "due": first["at"],
            "expires": first["window_ends"],
        }
        self.database.pushes = [*self.database.pushes, row]
        if outcome == "sent":
            self.ring(FRANK, first["request_id"], event, first["at"] + 0.05)

    def ring(self, user: str, request: str, event: int, at: float) -> None:
        self.record.pushes.append(Push(user, request, event, at, taken=True))

    def lose(self, user: str, event: int) -> None:
        self.record.notices = [
            notice for notice in self.record.notices if (notice.user, notice.event) != (user, event)
        ]

    def answer(
        self,
        user: str,
        action: str,
        outcome: str,
        at: float,
        request: str | None = None,
        shown: set[str] | None = None,
    ) -> None:
        self.record.answers.append(
            Answer(user, action, outcome, at - 0.01, at, request, frozenset(shown or ()))
        )

    def post(self, outcome: str, at: float = 101, **fields: str) -> None:
        kind, plan = "checkout.session.completed", "quick-chat"
        posting = Posting("evt", kind, CARLA, plan, "cs", "pi", outcome, at - 0.01, at)
        self.record.postings.append(replace(posting, **fields))  # type: ignore[arg-type]

    def remove(self, request: str) -> None:
        del self.database.requests[request]  # type: ignore[attr-defined]

    def intervene(self, kind: str, subject: str | None, began: float) -> None:
        self.record.interventions.append(Intervention(kind, subject, began, began + 1))

    def leave(self, mechanic: str) -> None:
        self.database.approved -= {mechanic}

    def found(self) -> set[str]:
        """The names of the checks that found something."""
        return {line.partition(":")[0] for line in violations(self.record, self.database)}


def queue_no_push(scene: Scene) -> None:
    scene.database.pushes = []


def lose_the_sender(scene: Scene) -> None:
    queue_no_push(scene)
    scene.push(4, None)


def refund_and_leave(scene: Scene) -> None:
    scene.row("reserved")["payment"] = "pi_2"
    scene.post(OK, 450, kind="charge.refunded", payment="pi_2")


def refund_and_offer(scene: Scene) -> None:
    """Before it was booked, and somebody accepted it."""
    scene.post(OK, 99, kind="charge.refunded", payment="pi")


def suspend_and_let_in(scene: Scene) -> None:
    scene.intervene("suspended", MONA, 300)
    scene.answer(MONA, "list", OK, 420, shown={"x"})


def suspend_and_let_accept(scene: Scene) -> None:
    scene.intervene("suspended", MONA, 168)
    scene.answer(MONA, "accept", OK, 172, "r")


def turn_the_flag_off_and_forget(scene: Scene) -> None:
    scene.intervene("flag off", None, 420)
    scene.intervene("flag on", None, 422)
    announce(scene, 430)


def suspend_and_announce_late(scene: Scene) -> None:
    scene.intervene("suspended", FRANK, 420)
    announce(scene, 430)


def decline_and_forget(scene: Scene) -> None:
    scene.event("reserved", "request_declined", 410, [], actor_id=FRANK)


def lose_and_cut(scene: Scene) -> None:
    scene.lose(CARLA, 2)
    scene.record.listening[CARLA].ended = None


def add_the_plan_too_late(scene: Scene) -> None:
    scene.post("not_processed", 200)
    scene.intervene("plan added", "quick-chat", 90)


def accept_twice(scene: Scene) -> None:
    scene.event("r", "request_accepted", 171, ["customer:carla", "mechanic:frank"])


def decline_twice(scene: Scene) -> None:
    for _ in range(2):
        scene.event("reserved", "request_declined", 410, [], actor_id=FRANK)


PLANTED: list[tuple[str, str, Callable[[Scene], Any]]] = [
    (
        "answers_are_the_contracts",
        "an error of SQL's",
        lambda s: s.answer(MONA, "accept", "400 {code: 23514}", 200, "r"),
    ),
    (
        "answers_are_the_contracts",
        "a signed event refused",
        lambda s: s.post("400 {error: bad_signature}"),
    ),
    (
        "answers_are_the_contracts",
        "an event not processed",
        lambda s: s.post("not_processed"),
    ),
    (
        "answers_are_the_contracts",
        "an event not processed with its plan there",
        add_the_plan_too_late,
    ),
    (
        "each_paid_session_has_one_request",
        "a session lost",
        lambda s: s.row("r").update(checkout=None),
    ),
    (
        "each_paid_session_has_one_request",
        "a session never acknowledged, and lost",
        lambda s: s.post(LOST, event="evt_2", checkout="cs_2"),
    ),
    (
        "each_paid_session_has_one_request",
        "a session booked twice",
        lambda s: s.row("reserved").update(checkout="cs"),
    ),
    (
        "each_paid_session_has_one_request",
        "an acknowledged event lost",
        lambda s: s.post(OK, event="evt_2"),
    ),
    (
        "each_paid_session_has_one_request",
        "an acknowledged event not processed",
        lambda s: s.database.ledger["evt"].update(processed_at=None),  # type: ignore[attr-defined]
    ),
    ("nothing_refunded_is_offered", "a refunded request offered", refund_and_leave),
    ("nothing_refunded_is_offered", "offered after its refund", refund_and_offer),
    ("each_request_has_one_winner", "two winners", accept_twice),
    (
        "each_request_has_one_winner",
        "completed by another",
        lambda s: s.answer(FRANK, "complete", OK, 190, "r"),
    ),
    (
        "each_request_has_one_winner",
        "an accept lost",
        lambda s: s.answer(FRANK, "accept", OK, 420, "reserved"),
    ),
    (
        "each_request_has_one_winner",
        "the row is another's",
        lambda s: s.row("r").update(mechanic_id=FRANK),
    ),
    (
        "each_request_has_one_winner",
        "the winner is forgotten",
        lambda s: s.row("r").update(mechanic_id=None),
    ),
    (
        "each_request_has_one_winner",
        "taken, and by nobody",
        lambda s: s.answer(FRANK, "accept", "request_taken", 420, "reserved"),
    ),
    (
        "nobody_is_let_in",
        "listed to another",
        lambda s: s.answer(MONA, "list", OK, 410, shown={"reserved"}),
    ),
    (
        "nobody_is_let_in",
        "listed to another before its window ended",
        lambda s: s.answer(MONA, "look", OK, 150, shown={"r"}),
    ),
    (
        "nobody_is_let_in",
        "accepted by another before its window ended",
        lambda s: s.answer(MONA, "accept", OK, 150, "r"),
    ),
    (
        "nobody_is_let_in",
        "revealed to another",
        lambda s: s.answer(MONA, "accept", "request_cancelled", 420, "reserved"),
    ),
    (
        "nobody_is_let_in",
        "sent to everyone",
        lambda s: s.events("reserved")[0].update(topics=[*RESERVED, "session_requests_feed"]),
    ),
    (
        "nobody_is_let_in",
        "announced to another",
        lambda s: s.row("reserved").update(preferred_mechanic_id=MONA),
    ),
    (
        "nobody_is_let_in",
        "heard by another",
        lambda s: s.hear(MONA, s.events("reserved")[0], "session_requests_feed"),
    ),
    (
        "each_window_is_announced",
        "a window ended, and nobody was told",
        lambda s: s.events("reserved")[0].update(window_ends=450),
    ),
    ("nobody_suspended_is_let_in", "listed to a suspended mechanic", suspend_and_let_in),
    ("nobody_suspended_is_let_in", "accepted by a suspended mechanic", suspend_and_let_accept),
    (
        "each_window_is_announced",
        "the favourite is gone, and nobody was told",
        lambda s: s.leave(FRANK),
    ),
    (
        "each_window_is_announced",
        "the favourite was suspended, and everyone was told later",
        suspend_and_announce_late,
    ),
    (
        "each_window_is_announced",
        "the favourite declined, and nobody was told",
        decline_and_forget,
    ),
    (
        "each_window_is_announced",
        "the flag was off, and nobody was told",
        turn_the_flag_off_and_forget,
    ),
    (
        "each_window_is_announced",
        "an event was not delivered",
        lambda s: s.events("r")[1].update(delivered_at=None),
    ),
    ("transitions_make_sense", "no event", lambda s: s.request("x", status="pending")),
    ("transitions_make_sense", "an event missing", lambda s: s.events("r").pop(1)),
    (
        "transitions_make_sense",
        "an event twice",
        lambda s: s.events("r").insert(1, s.events("r")[1]),
    ),
    ("transitions_make_sense", "an order without sense", lambda s: s.events("r").reverse()),
    (
        "transitions_make_sense",
        "a fallback without its reason",
        lambda s: s.events("r")[1]["payload"].pop("reason"),
    ),
    (
        "transitions_make_sense",
        "a fallback that says it is none",
        lambda s: s.events("r")[1]["payload"].update(is_fallback_broadcast=False),
    ),
    ("transitions_make_sense", "a decline twice", decline_twice),
    (
        "transitions_make_sense",
        "a change without an event",
        lambda s: s.row("reserved").update(status="cancelled"),
    ),
    (
        "transitions_make_sense",
        "a broadcast without an event",
        lambda s: s.row("reserved").update(notification_sent_at=420),
    ),
    ("transitions_make_sense", "a request gone", lambda s: s.remove("reserved")),
    ("listeners_miss_nothing", "an event missed", lambda s: s.record.listed[MONA].pop()),
    ("listeners_miss_nothing", "events out of order", lambda s: s.record.listed[FRANK].reverse()),
    ("listeners_miss_nothing", "an event listed twice", lambda s: s.record.listed[FRANK].append(4)),
    ("listeners_miss_nothing", "another's event", lambda s: s.record.listed[MONA].append(4)),
    (
        "listeners_miss_nothing",
        "a notice of nothing",
        lambda s: s.record.notices.append(Notice(MONA, MONA, TOPICS[MONA][0], 99, "r", 200)),
    ),
    (
        "listeners_miss_nothing",
        "a notice on another's topic",
        lambda s: s.record.notices.append(Notice(MONA, MONA, TOPICS[MONA][0], 2, "r", 200)),
    ),
    ("each_notice_is_heard", "a notice lost", lambda s: s.lose(CARLA, 2)),
    ("each_notice_is_heard", "a notice lost before a connection was cut", lose_and_cut),
    ("each_notice_is_heard", "the last notice lost", lambda s: s.lose(CARLA, 4)),
    ("each_notice_is_heard", "every notice lost", lambda s: s.record.notices.clear()),
    ("nobody_is_let_in", "a push to another", lambda s: s.ring(MONA, "reserved", 4, 410)),
    ("each_favourite_is_pushed", "a push not queued", queue_no_push),
    ("each_favourite_is_pushed", "a push that never came", lambda s: s.record.pushes.clear()),
    ("each_favourite_is_pushed", "a push nobody took", lose_the_sender),
    (
        "each_favourite_is_pushed",
        "a push without a signature",
        lambda s: s.record.unsound_pushes.append("not signed"),
    ),
    ("nobody_is_pushed_what_is_over", "a late push", lambda s: s.ring(MONA, "r", 2, 190)),
]


def test_a_sound_record_passes() -> None:
    scene = Scene()
    assert violations(scene.record, scene.database) == []
    assert scene.record.operations == 7


@pytest.mark.parametrize(
    ("check", "plant"), [(c, p) for c, _, p in PLANTED], ids=[n for _, n, _ in PLANTED]
)
def test_a_planted_fault_is_found(check: str, plant: Callable[[Scene], Any]) -> None:
    scene = Scene()
    plant(scene)
    assert check in scene.found()


def test_each_check_has_its_faults() -> None:
    assert {check for check, _, _ in PLANTED} == {check.__name__ for check in CHECKS}


def delete_the_customer(scene: Scene) -> None:
    for request in ("r", "reserved"):
        topics = ["customer:carla", "mechanic:frank"]
        scene.tell(scene.event(request, "request_cancelled", 450, topics, reason="cancelled"))
        scene.remove(request)
    scene.intervene("deleted", CARLA, 450)


def delete_the_winner(scene: Scene) -> None:
    scene.row("r")["mechanic_id"] = None
    scene.intervene("deleted", MONA, 450)


def announce(scene: Scene, at: float) -> None:
    event = scene.event(
        "reserved", "new_request", at, OPEN, is_fallback_broadcast=True, reason="mechanic_gone"
    )
    scene.tell(event)
    scene.row("reserved")["notification_sent_at"] = at


def suspend_the_favourite(scene: Scene) -> None:
    """The window is over for whoever asks, and its announcement is still to come."""
    scene.intervene("suspended", FRANK, 420)
    scene.leave(FRANK)
    scene.answer(MONA, "list", OK, 420.5, shown={"reserved"})
    announce(scene, 420.8)


def turn_the_flag_off(scene: Scene) -> None:
    scene.intervene("flag off", None, 420)
    scene.intervene("flag on", None, 430)
    scene.answer(MONA, "list", OK, 420.5, shown={"reserved"})
    announce(scene, 430.5)


def book_while_the_flag_goes(scene: Scene) -> None:
    """Met by nobody until it was on again."""
    scene.intervene("flag off", None, 399)
    scene.intervene("flag on", None, 401)
    scene.record.notices = [each for each in scene.record.notices if each.event != 4]
    scene.events("reserved")[0]["committed"] = 495


def decline_at_the_end_of_the_window(scene: Scene) -> None:
    """The sweep has the row; the decline began earlier, and waits for it."""
    announce(scene, 430)
    scene.tell(scene.event("reserved", "request_declined", 429, [], actor_id=FRANK))


def add_a_plan(scene: Scene) -> None:
    scene.post("not_processed", 89, event="evt_2", checkout="cs_2")
    scene.intervene("plan added", "quick-chat", 90)
    scene.request("s", status="pending", checkout="cs_2")
    scene.tell(scene.event("s", "new_request", 160, OPEN, is_fallback_broadcast=False))


def cut_off_a_listener(scene: Scene) -> None:
    scene.record.listening[CARLA].ended = None
    scene.lose(CARLA, 4)


@pytest.mark.parametrize(
    "happen",
    [
        delete_the_customer,
        delete_the_winner,
        suspend_the_favourite,
        turn_the_flag_off,
        book_while_the_flag_goes,
        decline_at_the_end_of_the_window,
        add_a_plan,
        cut_off_a_listener,
    ],
)
def test_what_an_operator_does_is_no_fault(happen: Callable[[Scene], None]) -> None:
    scene = Scene()
    happen(scene)
    assert violations(scene.record, scene.database) == []
