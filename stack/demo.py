"""The whole job on real parts, on one timeline: what each party hears, sees and may do.

Whatever a line shows is compared with what the contract says; the summary counts the differences.
"""

import json
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from supabase import Client, PostgrestAPIError

from stack import demo_theirs
from stack.clients import Env, add_mechanic, add_user, paid_checkout, post_event, sign_in
from stack.services import StackError
from stack.stage import BOLD, Broken, Screen, Stage
from stack.temporary import temporary_stack

QUIET = 0.15  # seconds without a notice, after which nobody else is thought to have heard
PATIENCE = 5.0
MOST_LATE = 2000  # milliseconds
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RACERS = 20

INTRODUCTION = """\
Carla is a customer and Frank her favourite mechanic; Mona and Mike are two others. Each listens
on a connection of their own and calls through supabase-py. Stripe's events are signed and posted
to the webhook. A to F are Carla's bookings; PT404 is an error of the API with HTTP status 404.
It takes little more than the minute that Frank is given. Then the same is put on a marketplace
that was there first, and taken off again.
"""


@dataclass
class Party:
    """One of the four on stage, with supabase-py in hand."""

    name: str
    id: str
    client: Client
    topics: tuple[str, ...]

    @property
    def is_mechanic(self) -> bool:
        return len(self.topics) > 1

    def call(self, function: str, **arguments: object) -> Any:
        return self.client.rpc(function, arguments).execute().data

    def rows(self, columns: str, **equal: str) -> list[dict[str, Any]]:
        query: Any = self.client.table("session_requests").select(columns)
        for column, value in equal.items():
            query = query.eq(column, value)
        found: list[dict[str, Any]] = query.order("created_at").execute().data
        return found


@dataclass
class Notice:
    at: float
    time: float
    party: str
    payload: dict[str, Any]


@dataclass(kw_only=True)
class Demo(Stage):
    """The parties, and their bookings by letter."""

    env: Env
    parties: dict[str, Party] = field(default_factory=dict)
    bookings: dict[str, str] = field(default_factory=dict)  # a request's id: its letter
    notices: queue.Queue[Notice] = field(default_factory=queue.Queue)
    _heard: set[tuple[str, int]] = field(default_factory=set)

    # --- What a scene is made of ---

    def pay(self, letter: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Have Stripe tell of a paid booking; the event, to send it again."""
        at = time.monotonic()
        event = paid_checkout(metadata)
        status, answer = post_event(self.env, event)
        chain = metadata.get("preferred_mechanic_ids", "").count(",")
        wish = "Frank first" if "preferred_mechanic_id" in metadata else "no favourite"
        wish = "three favourites in turn" if chain else wish
        text = f"{status} {answer.get('outcome')}"
        self.screen.line("Carla", "pays", f"{letter}, {wish}; the webhook answers {text}", at)
        if text != "200 request_created":
            raise Broken("A paid Checkout Session made no request.")
        self.bookings[answer["request_id"]] = letter
        return event

    def hear(self, statement: str, *expected: tuple[Sequence[str], str]) -> list[Notice]:
        """Show the notices as they come: those expected, in order, and nothing else to anyone."""
        heard: list[Notice] = []
        wanted = sum(len(names) for names, _ in expected)
        deadline = time.monotonic() + PATIENCE
        while True:
            wait = QUIET if len(heard) >= wanted else deadline - time.monotonic()
            try:
                notice = self.notices.get(timeout=max(wait, QUIET))
            except queue.Empty:
                break
            key = (notice.party, notice.payload["event_id"])
            if key not in self._heard:  # a winner hears of it on two topics
                self._heard.add(key)
                heard.append(notice)
        found: dict[tuple[int, str], set[str]] = {}
        for notice in sorted(heard, key=lambda notice: notice.at):
            told = notice.payload["event_id"], self._told(notice)
            found.setdefault(told, set()).add(notice.party)
        for (event_id, text), names in sorted(found.items()):
            at = min(n.at for n in heard if n.payload["event_id"] == event_id)
            self._together(names, "hear", text, at)
        self.check(
            statement,
            [(names, text) for (_, text), names in sorted(found.items())],
            [(set(names), text) for names, text in expected],
        )
        return heard

    def see(self, statement: str, **expected: str) -> None:
        """Show what parties see, mechanics in the list of open requests and in the table alike."""
        at = time.monotonic()
        found = {}
        for name in expected:
            party = self.parties[name]
            found[name] = self._open_to(party) if party.is_mechanic else self._own(party)
        for text in dict.fromkeys(found.values()):
            self._together({name for name in found if found[name] == text}, "see", text, at)
        self.check(statement, found, expected)

    def act(
        self, name: str, verb: str, letter: str, expected: str, statement: str, **more: object
    ) -> None:
        """Have a mechanic accept, decline, complete or release a booking."""
        party, request_id = self.parties[name], self.request_id(letter)
        at = time.monotonic()
        found = attempt(
            lambda: party.call(f"{verb}_session_request", request_id=request_id, **more)
        )
        self.screen.line(name, f"{verb}s", f"{letter}: {found}", at)
        self.check(statement, found, expected)

    def request_id(self, letter: str) -> str:
        return next(known for known in self.bookings if self.bookings[known] == letter)

    def wait_until(self, moment: float, what: str) -> None:
        """Wait for a moment of the wall clock, with a countdown."""
        shown = None
        while (left := moment - time.time()) > 0:
            seconds = round(left)
            if self.screen.is_terminal:
                self.screen.passing(f"{what} in {seconds} s")
            elif seconds > 5 and (shown is None or shown - seconds >= 15):
                self.screen.note(f"{what} in {seconds} s")
                shown = seconds
            time.sleep(min(left, 1.0))

    # --- What the lines say ---

    def _together(self, names: Collection[str], verb: str, text: str, at: float) -> None:
        who = [name for name in self.parties if name in names]
        mechanics = [name for name, party in self.parties.items() if party.is_mechanic]
        if who == list(self.parties):
            self.screen.line("Everyone", f"{verb}s", text, at)
        elif who == mechanics:
            self.screen.line("All mechanics", verb, text, at)
        else:
            self.screen.line(", ".join(who), verb if len(who) > 1 else f"{verb}s", text, at)

    def _told(self, notice: Notice) -> str:
        told = notice.payload
        letter = self.bookings.get(told["request_id"], "?")
        remark = ""
        if told["event"] == "priority_request":
            remark = f", {told['window_minutes']} minute"
            if told.get("reason"):
                remark += f", because {told['reason']}"
        if told.get("is_fallback_broadcast"):
            remark = f", fallback because {told['reason']}"
        return f"{letter}: {told['event']}{remark}"

    def _open_to(self, party: Party) -> str:
        listed = party.call("list_open_session_requests")
        in_table = {row["id"] for row in party.rows("id", status="pending")}
        if in_table != {row["request_id"] for row in listed}:
            return "not the same in the list and in the table"
        seen = sorted(
            self.bookings.get(row["request_id"], "?")
            + (" (priority)" if row["is_priority"] else "")
            for row in listed
        )
        return ", ".join(seen) or "nothing"

    def _own(self, party: Party) -> str:
        rows = party.rows("id,status")
        return ", ".join(f"{self.bookings.get(row['id'], '?')} {row['status']}" for row in rows)

    # --- The parties ---

    def cast(self) -> None:
        """Make the four, and have each listen on their topics."""
        feed = "session_requests_feed"
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as owner:
            owner.execute("select dispatch.set_favorites_priority(true)")
            carla = add_user(owner)
            ids = {name: add_mechanic(owner, name) for name in ("Frank", "Mona", "Mike")}
        self._enter("Carla", carla, (f"customer:{carla}",))
        for name, mechanic in ids.items():
            self._enter(name, mechanic, (f"mechanic:{mechanic}", feed))
            self.parties[name].call("set_presence", status="online")
        favourite = {"customer_id": carla, "mechanic_id": ids["Frank"]}
        self.parties["Carla"].client.table("customer_favorites").insert(favourite).execute()

    def _enter(self, name: str, user_id: str, topics: tuple[str, ...]) -> None:
        self.parties[name] = Party(name, user_id, sign_in(self.env, user_id), topics)
        connection = psycopg.connect(self.env["DATABASE_URL"], autocommit=True)
        for topic in topics:
            connection.execute(sql.SQL("listen {}").format(sql.Identifier(topic)))
        threading.Thread(target=self._listen, args=(name, connection), daemon=True).start()

    def _listen(self, name: str, connection: psycopg.Connection[Any]) -> None:
        with suppress(psycopg.OperationalError):  # PostgreSQL was stopped: the demo is over
            for notice in connection.notifies():
                payload = json.loads(notice.payload)
                self.notices.put(Notice(time.monotonic(), time.time(), name, payload))


def attempt(call: Callable[[], Any]) -> str:
    """`done`, or the refusal as a client meets it."""
    try:
        call()
    except PostgrestAPIError as error:
        return f"refused, {error.code} {error.details}"
    return "done"


# --- The scenes ---

BOTH = ("Carla", "Frank")
ALL = ("Carla", "Frank", "Mona", "Mike")
FIRST = "priority_request, 1 minute"
HIDDEN = "refused, PT404 request_not_found"
TAKEN = "refused, PT409 request_taken"


def play(demo: Demo) -> None:
    metadata, ends_at = window_opens(demo)
    favourite_accepts(demo, metadata)
    favourite_declines(demo, metadata)
    race(demo, metadata)
    turn_ends_at = chain_begins(demo)
    window_ends(demo, ends_at)
    chain_goes_on(demo, turn_ends_at)
    given_back(demo)
    flag_off(demo, metadata)


def window_opens(demo: Demo) -> tuple[dict[str, str], float]:
    demo.scene("A · Frank stays silent: his minute begins")
    carla, frank = demo.parties["Carla"], demo.parties["Frank"]
    status = carla.call("get_mechanic_status", mechanic_id=frank.id)
    found = "yes" if status["is_online"] else "no"
    demo.screen.line("Carla", "asks", f"is Frank online? {found}")
    demo.check("Carla sees that Frank is online", found, "yes")
    checkout = carla.call(
        "prepare_checkout",
        plan_code="quick-chat",
        preferred_mechanic_id=frank.id,
        routing_type="priority_broadcast",
        priority_window_minutes=1,
    )
    demo.screen.line("Carla", "reads", f"{checkout['banner']}")
    demo.check("Her checkout is for Frank", checkout["banner"], "Booking with Frank (Priority)")
    demo.pay("A", checkout["metadata"])
    heard = demo.hear("Only she and Frank hear of the paid booking", (BOTH, f"A: {FIRST}"))
    if not heard:
        raise Broken("No priority window was announced.")
    demo.see(
        "Only they see it, in the list and in the table",
        Carla="A pending",
        Frank="A (priority)",
        Mona="nothing",
        Mike="nothing",
    )
    demo.act("Mona", "accept", "A", HIDDEN, "To Mona, who knows its id, it does not exist")
    demo.screen.note("While Frank's minute runs, Carla books again.")
    ends_at = datetime.fromisoformat(heard[0].payload["window_ends_at"])
    return checkout["metadata"], ends_at.timestamp()


def favourite_accepts(demo: Demo, metadata: Mapping[str, str]) -> None:
    demo.scene("B · Frank accepts")
    event = demo.pay("B", metadata)
    demo.hear("Only Carla and Frank hear of it", (BOTH, f"B: {FIRST}"))
    demo.see("Only Frank may take it", Frank="A (priority), B (priority)", Mona="nothing")
    demo.act("Mona", "accept", "B", HIDDEN, "Mona may not")
    demo.act("Frank", "accept", "B", "done", "Frank takes it")
    demo.hear("Again only Carla and Frank hear of it", (BOTH, "B: request_accepted"))
    demo.act("Frank", "accept", "B", "done", "His second accept gets the same answer")
    demo.act("Mona", "accept", "B", HIDDEN, "Mona never learns that it existed")
    at = time.monotonic()
    status, answer = post_event(demo.env, event)
    found = f"{status} {answer.get('outcome')}"
    demo.screen.line("Stripe", "repeats", f"the event of B; the webhook answers {found}", at)
    demo.check("Stripe's event, sent again, makes no second request", found, "200 duplicate")
    demo.hear("Nor does anyone hear of it again")
    demo.see("Carla sees how her bookings stand", Carla="A pending, B accepted")


def favourite_declines(demo: Demo, metadata: Mapping[str, str]) -> None:
    demo.scene("C · Frank declines")
    demo.pay("C", metadata)
    demo.hear("Only Carla and Frank hear of it", (BOTH, f"C: {FIRST}"))
    demo.act("Frank", "decline", "C", "done", "Frank may decline", reason="on holiday")
    demo.hear(
        "Everyone hears of it at once",
        (("Frank",), "C: request_declined"),
        (ALL, "C: new_request, fallback because declined"),
    )
    demo.see("All but Frank may take it", Frank="A (priority)", Mona="C", Mike="C")
    demo.act("Frank", "accept", "C", HIDDEN, "Frank cannot change his mind")
    demo.act("Mona", "accept", "C", "done", "Mona takes it")
    demo.hear("Everyone hears that it is taken", (ALL, "C: request_accepted"))
    demo.act("Mike", "accept", "C", TAKEN, "Mike comes too late")


def race(demo: Demo, metadata: Mapping[str, str]) -> None:
    demo.scene(f"D · {RACERS} mechanics accept at once")
    mechanics = {name: demo.parties[name].client for name in ("Frank", "Mona", "Mike")}
    demo.screen.note(f"{RACERS - len(mechanics)} more mechanics come online.")
    with psycopg.connect(demo.env["DATABASE_URL"], autocommit=True) as owner:
        for number in range(len(mechanics) + 1, RACERS + 1):
            name = f"mechanic {number}"
            mechanics[name] = sign_in(demo.env, add_mechanic(owner, name))
            mechanics[name].rpc("set_presence", {"status": "online"}).execute()
    demo.pay("D", {name: metadata[name] for name in ("customer_id", "plan_code")})
    demo.hear("A booking without a favourite goes to everyone", (ALL, "D: new_request"))

    start = threading.Barrier(RACERS)
    arguments = {"request_id": demo.request_id("D")}

    def accept(client: Client) -> str:
        start.wait()
        return attempt(lambda: client.rpc("accept_session_request", arguments).execute())

    at = time.monotonic()
    with ThreadPoolExecutor(RACERS) as pool:
        answers = dict(zip(mechanics, pool.map(accept, mechanics.values()), strict=True))
    took = round((time.monotonic() - at) * 1000)
    winners = " and ".join(name for name, answer in answers.items() if answer == "done")
    demo.screen.line(
        f"{RACERS} mechanics", "accept", f"D at once; {winners} wins, after {took} ms all know", at
    )
    counts = {answer: list(answers.values()).count(answer) for answer in sorted(answers.values())}
    for answer, count in counts.items():
        demo.screen.line(f"{count} of {RACERS}", "get" if count > 1 else "gets", answer, at)
    demo.check(
        f"One wins, and {RACERS - 1} are told that it is taken",
        counts,
        {"done": 1, TAKEN: RACERS - 1},
    )
    demo.hear("Everyone hears once that it is taken", (ALL, "D: request_accepted"))


def chain_begins(demo: Demo) -> float:
    demo.scene("E · Frank, then Mona, then Mike, a minute each: Frank declines")
    carla = demo.parties["Carla"]
    checkout = carla.call(
        "prepare_checkout",
        plan_code="quick-chat",
        preferred_mechanic_ids=[demo.parties[name].id for name in ("Frank", "Mona", "Mike")],
        routing_type="priority_broadcast",
        priority_window_minutes=1,
    )
    demo.screen.line("Carla", "reads", f"{checkout['banner']}")
    demo.check(
        "Her checkout is for the three, in this order",
        checkout["banner"],
        "Booking with Frank, then Mona, then Mike (Priority)",
    )
    demo.pay("E", checkout["metadata"])
    demo.hear("Of the three only Frank hears of it", (BOTH, f"E: {FIRST}"))
    demo.act("Frank", "decline", "E", "done", "Frank may decline")
    heard = demo.hear(
        "It is Mona's turn at once, and Mike hears nothing yet",
        (("Frank",), "E: request_declined"),
        (("Carla", "Mona"), f"E: {FIRST}, because declined"),
    )
    demo.see("Only Mona may take it", Frank="A (priority)", Mona="E (priority)", Mike="nothing")
    demo.act("Mike", "accept", "E", HIDDEN, "Mike's turn has not come")
    ends = [notice.payload["window_ends_at"] for notice in heard if notice.party == "Mona"]
    if not ends:
        raise Broken("No second window was announced.")
    return datetime.fromisoformat(ends[0]).timestamp()


def window_ends(demo: Demo, ends_at: float) -> None:
    demo.scene("A · Frank stays silent: his minute ends")
    demo.wait_until(ends_at - 1, "Frank's minute ends")
    demo.act("Mona", "accept", "A", HIDDEN, "A second before the end Mona may not take it")
    demo.wait_until(ends_at, "Frank's minute ends")
    heard = demo.hear(
        "Everyone hears when it is over", (ALL, "A: new_request, fallback because window_ended")
    )
    check_lateness(demo, "A", heard, ends_at)
    with psycopg.connect(demo.env["DATABASE_URL"]) as owner:
        running = owner.execute(
            "select distinct j.jobname from cron.job_run_details as d"
            " join cron.job as j using (jobid) where d.status = 'running'"
        ).fetchall()
    demo.check("The sweep is what runs under it", running, [("dispatch-sweep",)])
    demo.see("Now everyone may take it", Frank="A", Mona="A, E (priority)", Mike="A")
    demo.act("Mike", "accept", "A", "done", "Mike takes it")
    demo.hear("Everyone hears that it is taken", (ALL, "A: request_accepted"))
    demo.act("Frank", "accept", "A", TAKEN, "Frank comes too late")
    demo.act("Mike", "complete", "A", "done", "Mike completes it")
    demo.hear("Carla and Mike hear of it", (("Carla", "Mike"), "A: request_completed"))


def check_lateness(demo: Demo, letter: str, heard: Sequence[Notice], ends_at: float) -> None:
    if heard:
        late = round((max(notice.time for notice in heard) - ends_at) * 1000)
        text = f"{letter} {late} ms after the minute's end"
        demo.screen.line("pg_cron", "announced", text, heard[-1].at)
        demo.check(f"pg_cron's job announces it in time: {late} ms", 0 <= late <= MOST_LATE, True)


def chain_goes_on(demo: Demo, ends_at: float) -> None:
    demo.scene("E · Mona stays silent: it is Mike's turn")
    demo.wait_until(ends_at - 1, "Mona's minute ends")
    demo.act("Mike", "accept", "E", HIDDEN, "A second before the end Mike may not take it")
    demo.wait_until(ends_at, "Mona's minute ends")
    heard = demo.hear(
        "Carla and Mike hear when it is over",
        (("Carla", "Mike"), f"E: {FIRST}, because window_ended"),
    )
    check_lateness(demo, "E", heard, ends_at)
    demo.see("Now only Mike may take it", Frank="nothing", Mona="nothing", Mike="E (priority)")
    demo.act("Mona", "accept", "E", HIDDEN, "Mona comes too late")
    demo.act("Mike", "accept", "E", "done", "Mike takes it")
    demo.hear("Carla and Mike hear of it", (("Carla", "Mike"), "E: request_accepted"))


def given_back(demo: Demo) -> None:
    demo.scene("E · Mike gives it back")
    demo.act("Mike", "release", "E", "done", "Mike may give it back", reason="a flat tyre")
    demo.hear(
        "Carla hears of it, and everyone is asked at once",
        (("Carla", "Mike"), "E: request_released"),
        (ALL, "E: new_request"),
    )
    demo.see("All but who declined or gave it back", Frank="nothing", Mona="E", Mike="nothing")
    demo.act("Mike", "accept", "E", HIDDEN, "Mike is out of it")
    demo.act("Mona", "accept", "E", "done", "Mona takes it")
    demo.hear("Everyone hears that it is taken", (ALL, "E: request_accepted"))
    carla = demo.parties["Carla"]
    asked = {"request_ids": [demo.request_id("E")]}
    found = [each["status"] for each in carla.call("list_session_request_payments", **asked)]
    demo.screen.line("Carla", "reads", f"E: {', '.join(found)}")
    demo.check("She has paid once", found, ["paid"])


def flag_off(demo: Demo, metadata: Mapping[str, str]) -> None:
    demo.scene("F · The flag is off")
    with psycopg.connect(demo.env["DATABASE_URL"], autocommit=True) as owner:
        owner.execute("select dispatch.set_favorites_priority(false)")
    demo.screen.line("Owner", "turns off", "ENABLE_FAVORITES_PRIORITY")
    carla, frank = demo.parties["Carla"], demo.parties["Frank"]
    found = attempt(lambda: carla.call("get_mechanic_status", mechanic_id=frank.id))
    demo.screen.line("Carla", "asks", f"is Frank online? {found}")
    demo.check("A mechanic's status is not told any more", found, "refused, PT404 feature_disabled")
    demo.pay("F", metadata)
    demo.hear("The same metadata is broadcast to all at once", (ALL, "F: new_request"))
    demo.see("All see it alike", Frank="F", Mona="F", Mike="F")
    columns = ("preferred_mechanic_id", "priority_window_minutes", "priority_notified_at")
    (stored,) = carla.rows(",".join(columns), status="pending")
    demo.check("None of the three values is stored", stored, dict.fromkeys(columns))
    demo.act("Mona", "accept", "F", "done", "Mona may take it at once")
    demo.hear("Everyone hears that it is taken", (ALL, "F: request_accepted"))


# --- Around them ---


def interrupt(*_: object) -> None:
    """End the demo; what ends it must not be interrupted again."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    screen = Screen()
    screen.print(screen.paint("Favorites Priority: the favourite mechanic hears first", BOLD))
    screen.print(f"\n{INTRODUCTION}")
    try:
        with temporary_stack(report=screen.note) as stack:
            demo = Demo(screen=screen, env=stack.env)
            demo.cast()
            play(demo)
        demo_theirs.play(demo)
        holds = demo.summary()
        screen.print("`make dashboard` starts the same stack, with pages for a browser.")
        return 0 if holds else 1
    except KeyboardInterrupt:
        screen.print("\nInterrupted; the demo's stack is stopped and removed.")
        return 130
    except (Broken, StackError) as error:
        screen.print(f"\n✗ {error}")
        return 1
