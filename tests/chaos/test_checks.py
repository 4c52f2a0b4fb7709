"""The checker finds each fault in a record that is sound without it."""

import itertools
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

CARLA, FRANK, MONA, NORA = "carla", "frank", "mona", "nora"
TOPICS = {
    CARLA: ("customer:carla",),
    FRANK: ("mechanic:frank", "session_requests_feed"),
    MONA: ("mechanic:mona", "session_requests_feed"),
    NORA: ("mechanic:nora", "session_requests_feed"),
}
RESERVED = ["customer:carla", "mechanic:frank"]
OPEN = ["customer:carla", "session_requests_feed"]
TAKEN = ["customer:carla", "mechanic:mona", "session_requests_feed"]
# The same, for Mona.
NEXT = ["customer:carla", "mechanic:mona"]


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
            "topics": [*topics],
            "at": at,
            "committed": at,
            "window_ends": columns.pop("window_ends", None),
            "window_began": columns.pop("window_began", at),
            "delivered_at": at,
            "payload": columns,
        }
        self.database.events.setdefault(request, []).append(event)  # type: ignore[attr-defined]
        return event

    def events(self, request: str) -> list[Any]:
        return self.database.events[request]

    def request(self, request: str, **columns: Any) -> None:
        none: dict[str, Any] = {"mechanic_id": None, "checkout": None, "payment": None}
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

    def push(self, event: int, outcome: str | None = "sent", user: str = FRANK) -> None:
        """A phone is told of a window."""
        log = itertools.chain.from_iterable(self.database.events.values())
        first = next(each for each in log if each["id"] == event)
        row = {
            "id": event,
            "event_id": event,
            "request_id": first["request_id"],
            "user_id": user,
            "is_reminder": False,
            "outcome": outcome,
            "due": first["at"],
            "expires": first["window_ends"],
        }
        self.database.pushes = [*self.database.pushes, row]
        if outcome == "sent":
            self.ring(user, first["request_id"], event, first["at"] + 0.05)

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


def chain(scene: Scene, **last: Any) -> None:
    """Carla asked for Frank, Nora and Mona, 60 s each. Frank's turn for `c` is over at 260, Nora
    says no at 270, and Mona has it from then on. Nora was told late, Mona at once."""
    scene.request("c", status="pending", preferred_mechanic_id=MONA, notification_sent_at=None)
    scene.record.wishes["c"] = (FRANK, NORA, MONA)
    nora = ["customer:carla", "mechanic:nora"]
    told: list[dict[str, Any]] = [
        scene.event("c", "priority_request", 200, RESERVED, window_ends=260),
        scene.event(
            "c", "priority_request", 265, nora,
            window_ends=320, window_began=260, reason="window_ended",
        ),
        scene.event("c", "request_declined", 270, nora[1:], actor_id=NORA),
        scene.event(
            "c", "priority_request", 270, NEXT,
            **{"window_ends": 900, "window_began": 270, "reason": "declined"} | last,
        ),
    ]  # fmt: skip
    for event in told:
        scene.tell(event)
    scene.database.approved |= {NORA}
    scene.database.with_device |= {NORA, MONA}
    for event, user in zip(told[:2] + told[3:], (FRANK, NORA, MONA), strict=True):
        scene.push(event["id"], user=user)
    scene.answer(FRANK, "list", OK, 259.9, shown={"c"})
    scene.answer(NORA, "list", OK, 260.5, shown={"c"})
    scene.answer(FRANK, "accept", "request_not_found", 262, "c")
    scene.answer(NORA, "decline", OK, 270.1, "c")
    scene.answer(MONA, "list", OK, 270.2, shown={"c"})
    scene.answer(NORA, "decline", OK, 290, "c")
    scene.answer(NORA, "catch up", OK, 290, shown={"c"})


def give_back(scene: Scene, *, again: bool = False) -> None:
    """Mona gives `r` back, and Frank has it; and gives it back as well."""
    for event in (
        scene.event("r", "request_released", 200, NEXT, reason="released", actor_id=MONA),
        scene.event("r", "new_request", 200, OPEN, is_fallback_broadcast=False),
        scene.event("r", "request_accepted", 210, [*RESERVED, "session_requests_feed"]),
    ):
        scene.tell(event)
    scene.row("r").update(mechanic_id=FRANK)
    scene.answer(MONA, "release", OK, 200.1, "r")
    scene.answer(MONA, "accept", "request_not_found", 205, "r")
    scene.answer(MONA, "catch up", OK, 205, shown={"r"})
    scene.answer(FRANK, "list", OK, 205, shown={"r"})
    scene.ring(FRANK, "r", scene.events("r")[-2]["id"], 205)
    scene.answer(FRANK, "accept", OK, 210.1, "r")
    scene.answer(MONA, "release", OK, 215, "r")
    if again:
        for event in (
            scene.event("r", "request_released", 220, RESERVED, reason="no_show"),
            scene.event("r", "request_cancelled", 220, RESERVED, reason="cancelled"),
        ):
            scene.tell(event)
        scene.row("r").update(mechanic_id=None, status="cancelled")


def planted(happen: Callable[..., None], plant: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
    def both(scene: Scene) -> None:
        happen(scene)
        plant(scene)

    return both


def nora_at(scene: Scene, at: float) -> None:
    scene.answer(NORA, "list", OK, at, shown={"c"})


def take_over(scene: Scene) -> None:
    """Nora takes what is Mona's."""
    scene.event("c", "request_accepted", 280, ["customer:carla", "mechanic:nora"])
    scene.row("c").update(mechanic_id=NORA, status="accepted")


def broadcast_before_all_were_asked(scene: Scene) -> None:
    announce(scene, 430)
    scene.record.wishes["reserved"] = (FRANK, NORA)


def forget_the_third(scene: Scene) -> None:
    """She is told, and the window that was open before stays for all to hear of."""
    scene.events("c").pop()


def refund_and_give_back(scene: Scene) -> None:
    scene.post(OK, 195, kind="charge.refunded", payment="pi")
    give_back(scene)


def go_out_after_the_second(scene: Scene) -> None:
    give_back(scene, again=True)
    scene.events("r").pop()
    scene.event("r", "new_request", 220, OPEN, is_fallback_broadcast=False)


def queue_no_push(scene: Scene) -> None:
    scene.database.pushes = []


def lose_the_sender(scene: Scene) -> None:
    scene.database.pushes = scene.database.pushes[:1]
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


def limit(scene: Scene) -> None:
    """To one session, from 180 on; Mona takes another when she has completed hers."""
    scene.intervene("limited", "1", 180)
    scene.intervene("unlimited", "", 300)
    for name, at in (("request_completed", 190), ("new_request", 200), ("request_accepted", 210)):
        request = "r" if at == 190 else "t"
        topics = {"new_request": OPEN, "request_completed": NEXT}.get(name, TAKEN)
        extra = {"is_fallback_broadcast": False} if name == "new_request" else {}
        scene.tell(scene.event(request, name, at, topics, **extra))
    scene.row("r")["status"] = "completed"
    scene.request("t", status="accepted", mechanic_id=MONA, preferred_mechanic_id=None)
    for listed in scene.record.listed.values():
        listed.sort()


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
    # A chain: see chain().
    (
        "nobody_is_let_in",
        "listed to the next before their turn",
        planted(chain, lambda s: nora_at(s, 255)),
    ),
    (
        "nobody_is_let_in",
        "listed to the one before, after their turn",
        planted(chain, lambda s: s.answer(FRANK, "list", OK, 262, shown={"c"})),
    ),
    (
        "nobody_is_let_in",
        "listed to one who declined, in the turn of the next",
        planted(chain, lambda s: nora_at(s, 280)),
    ),
    (
        "nobody_is_let_in",
        "listed to nobody's favourite, in the second turn",
        planted(
            chain,
            lambda s: s.answer("olaf", "list", OK, 300, shown={"c"}),
        ),
    ),
    (
        "nobody_is_let_in",
        "revealed to the one before",
        planted(chain, lambda s: s.answer(FRANK, "accept", "request_taken", 300, "c")),
    ),
    ("nobody_is_let_in", "accepted by the one before", planted(chain, take_over)),
    (
        "nobody_is_let_in",
        "the next one hears of the turn before",
        planted(chain, lambda s: s.events("c")[0]["topics"].append("mechanic:nora")),
    ),
    (
        "nobody_is_let_in",
        "a push to the one before, after their turn",
        planted(chain, lambda s: s.ring(FRANK, "c", 5, 290)),
    ),
    (
        "nobody_is_let_in",
        "a push to the next before their turn",
        planted(chain, lambda s: s.ring(MONA, "c", 8, 262)),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "asked twice",
        planted(chain, lambda s: s.events("c")[1]["topics"].__setitem__(1, "mechanic:frank")),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "asked in another order",
        planted(chain, lambda s: s.record.wishes.update(c=(FRANK, MONA, NORA))),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "a favourite left out",
        planted(chain, lambda s: s.events("c").pop(1)),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "everyone's before all were asked",
        broadcast_before_all_were_asked,
    ),
    (
        "each_favourite_is_asked_in_turn",
        "a turn from when it was told",
        planted(chain, lambda s: s.events("c")[1].update(window_began=265)),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "a turn of a decline from the end of the window before",
        planted(chain, lambda s: s.events("c")[3].update(window_began=320)),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "told before their turn",
        planted(chain, lambda s: s.events("c")[1].update(at=255)),
    ),
    (
        "each_favourite_is_asked_in_turn",
        "a turn without its reason",
        planted(chain, lambda s: s.events("c")[3]["payload"].pop("reason")),
    ),
    (
        "each_window_is_announced",
        "the second declined, and the third was not told",
        planted(chain, forget_the_third),
    ),
    (
        "each_window_is_announced",
        "the third declined, and nobody was told",
        planted(chain, lambda s: s.event("c", "request_declined", 300, NEXT[1:], actor_id=MONA)),
    ),
    (
        "each_window_is_announced",
        "the last turn ended, and nobody was told",
        lambda s: chain(s, window_ends=330),
    ),
    (
        "each_window_is_announced",
        "the second was suspended, and the third was told later",
        planted(chain, lambda s: s.intervene("suspended", NORA, 266)),
    ),
    (
        "each_window_is_announced",
        "the third is gone, and nobody was told",
        planted(chain, lambda s: s.leave(MONA)),
    ),
    (
        "each_favourite_is_pushed",
        "the second's push not queued",
        planted(
            chain,
            lambda s: setattr(
                s.database, "pushes", [p for p in s.database.pushes if p["user_id"] != NORA]
            ),
        ),
    ),
    # Given back: see give_back().
    (
        "each_request_has_one_winner",
        "two winners after it was given back",
        planted(give_back, lambda s: s.event("r", "request_accepted", 215, RESERVED)),
    ),
    (
        "each_request_has_one_winner",
        "given back, and still theirs",
        planted(give_back, lambda s: s.row("r").update(mechanic_id=MONA)),
    ),
    (
        "each_request_has_one_winner",
        "completed by who gave it back",
        planted(give_back, lambda s: s.answer(MONA, "complete", OK, 220, "r")),
    ),
    (
        "each_request_has_one_winner",
        "a release lost",
        lambda s: s.answer(MONA, "release", OK, 200, "r"),
    ),
    ("each_request_has_one_winner", "given back twice, and out again", go_out_after_the_second),
    ("nothing_refunded_is_offered", "given back after its refund", refund_and_give_back),
    (
        "nobody_gets_back_what_they_gave_back",
        "listed to who gave it back",
        planted(give_back, lambda s: s.answer(MONA, "list", OK, 205, shown={"r"})),
    ),
    (
        "nobody_gets_back_what_they_gave_back",
        "accepted by who gave it back",
        planted(give_back, lambda s: s.answer(MONA, "accept", OK, 205, "r")),
    ),
    (
        "nobody_gets_back_what_they_gave_back",
        "told to who gave it back",
        planted(give_back, lambda s: s.events("r")[-1]["topics"].append("mechanic:mona")),
    ),
    (
        "nobody_gets_back_what_they_gave_back",
        "a push to who gave it back",
        planted(give_back, lambda s: s.ring(MONA, "r", 6, 240)),
    ),
    (
        "transitions_make_sense",
        "given back, and no more of it",
        planted(
            give_back,
            lambda s: [s.events("r").pop() for _ in range(2)],
        ),
    ),
    (
        "nobody_is_pushed_what_is_over",
        "a late push of what was taken again",
        planted(give_back, lambda s: s.ring(NORA, "r", 6, 240)),
    ),
    # Of blocks and limits.
    (
        "nobody_hears_of_whom_they_blocked",
        "asked after a block",
        lambda s: s.intervene("blocked", f"{CARLA} {FRANK}", 390),
    ),
    (
        "nobody_hears_of_whom_they_blocked",
        "listed after a block",
        lambda s: s.intervene("blocked", f"{CARLA} {FRANK}", 408),
    ),
    (
        "nobody_hears_of_whom_they_blocked",
        "accepted after a block",
        lambda s: s.intervene("blocked", f"{CARLA} {MONA}", 90),
    ),
    (
        "nobody_goes_over_the_limit",
        "a session too many",
        planted(limit, lambda s: s.event("s", "request_accepted", 215, TAKEN)),
    ),
]


def block_after_the_accept(scene: Scene) -> None:
    """What was accepted stays, and is talked of."""
    scene.intervene("blocked", f"{CARLA} {MONA}", 300)
    scene.tell(scene.event("r", "request_completed", 450, NEXT))
    scene.row("r")["status"] = "completed"


def block_the_favourite(scene: Scene) -> None:
    """It is the next one's, for a reason that else ends all of a chain."""
    chain(scene)
    scene.events("c")[-1]["payload"]["reason"] = "customer"
    scene.intervene("blocked", f"{CARLA} {NORA}", 269.5)


def spread_the_feed(scene: Scene) -> None:
    """By name, where somebody else is not to hear of it."""
    scene.intervene("blocked", f"{CARLA} oscar", 90)
    scene.record.notices = [
        replace(each, topic=f"mechanic:{each.user}")
        if each.topic == "session_requests_feed"
        else each
        for each in scene.record.notices
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


def pass_over_at_the_booking(scene: Scene) -> None:
    """Out of turn, as Nora cannot be asked even then."""
    scene.record.wishes["e"] = (FRANK, NORA)
    scene.request("e", status="pending", notification_sent_at=None)
    for event in (
        scene.event("e", "priority_skipped", 400, OPEN[:1], mechanic_id=NORA),
        scene.event("e", "priority_request", 400, RESERVED, window_ends=1000),
    ):
        scene.tell(event)
    scene.push(6)


def suspend_who_is_to_come(scene: Scene) -> None:
    """By the clock it was Nora's turn, when nobody had written it: she is passed over."""
    customer = ["customer:carla"]
    scene.intervene("suspended", NORA, 265)
    scene.leave(NORA)
    scene.request("d", status="pending", preferred_mechanic_id=MONA, notification_sent_at=None)
    scene.record.wishes["d"] = (FRANK, NORA, MONA)
    for event in (
        scene.event("d", "priority_request", 200, RESERVED, window_ends=260),
        scene.event("d", "priority_skipped", 266, customer, mechanic_id=NORA),
        scene.event(
            "d", "priority_request", 266, NEXT,
            window_ends=920, window_began=260, reason="window_ended",
        ),
    ):  # fmt: skip
        scene.tell(event)
    scene.push(5)
    scene.answer(NORA, "list", OK, 261, shown={"d"})


def give_back_twice(scene: Scene) -> None:
    give_back(scene, again=True)


def go_away(scene: Scene) -> None:
    """Frank let two windows pass."""
    away = scene.event("r", "mechanic_away", 160, ["mechanic:frank"])
    events = scene.events("r")
    events.insert(2, events.pop())
    scene.tell(away)
    scene.record.listed[FRANK].sort()


def cut_off_a_listener(scene: Scene) -> None:
    scene.record.listening[CARLA].ended = None
    scene.lose(CARLA, 4)


def listen_on_the_feed_later(scene: Scene) -> None:
    """On a lost network the second LISTEN of a connection may take seconds."""
    scene.record.listening[FRANK] = Listening(FRANK, FRANK, 165)
    scene.lose(FRANK, 2)


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
        listen_on_the_feed_later,
        chain,
        pass_over_at_the_booking,
        suspend_who_is_to_come,
        give_back,
        give_back_twice,
        go_away,
        limit,
        block_after_the_accept,
        block_the_favourite,
        spread_the_feed,
    ],
)
def test_what_may_happen_is_no_fault(happen: Callable[[Scene], None]) -> None:
    scene = Scene()
    happen(scene)
    assert violations(scene.record, scene.database) == []
