"""Customers, mechanics, a marketplace's backend, Stripe and listeners, each in threads of its own.

Whoever is answered writes it into the record. All choices come from seeded random numbers; which
of them meet at one moment is up to the machine.
"""

import heapq
import itertools
import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any

import httpx
import psycopg
from psycopg import sql

from chaos.record import LOST, OK, Answer, Notice, Posting, Record
from chaos.threads import Threads
from stack.clients import (
    Env,
    Event,
    add_mechanic,
    add_user,
    paid_checkout,
    post_event,
    stripe_event,
)
from stack.tokens import sign

CUSTOMERS, MECHANICS, STRIPES = 4, 6, 3
LISTENER = "chaos listener"
TIMEOUT = 20


class Person:
    """A token over HTTP, and what it was answered. One thread's only."""

    def __init__(self, world: "World", user: str, role: str = "authenticated") -> None:
        self.world, self.user = world, user
        self.random = random.Random(f"{world.seed} {next(world.numbers)}")
        env = world.env
        token = sign(role, user or None, secret=env["JWT_SECRET"], seconds=24 * 3600)
        self.http = httpx.Client(
            base_url=f"{env['SUPABASE_URL']}/rest/v1",
            headers={
                "apikey": env["SUPABASE_ANON_KEY"],
                "Authorization": f"Bearer {token}",
                "Prefer": "return=representation",
            },
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self.http.close()

    def rpc(self, action: str, function: str, **arguments: object) -> Any:
        """The answer; None: there was none, or it was refused."""
        return self.ask(action, "POST", f"/rpc/{function}", json=arguments)

    def ask(self, action: str, method: str, path: str, **options: Any) -> Any:
        began, data = time.time(), None
        try:
            response = self.http.request(method, path, **options)
        except httpx.TransportError:
            outcome = LOST
        else:
            outcome = outcome_of(response)
            data = response.json() if outcome == OK else None
        rows = data if isinstance(data, list) else []
        shown = {row.get("request_id") or row.get("id") for row in rows}
        self.world.record.answers.append(
            Answer(
                self.user,
                action,
                outcome,
                began,
                time.time(),
                (options.get("json") or {}).get("request_id"),
                frozenset(shown - {None}),
            )
        )
        return data


def outcome_of(response: httpx.Response) -> str:
    if response.is_success:
        return OK
    if response.headers["content-type"].startswith("text/html"):  # nginx's: nobody behind it
        return LOST
    error = response.json()
    code = error.get("code") or ""
    if code.startswith("PT"):
        return str(error["details"])
    if is_trouble(code):
        return LOST
    return f"{response.status_code} {response.text}"


def is_trouble(code: str) -> bool:
    """What a client may be told while the server is in trouble: ask again."""
    return code in {
        "",  # PostgREST's, when its connection breaks off
        "23503",  # the favourite was deleted at that moment
        "40P01",  # a deadlock was ended
        "55P03",  # waited too long for a lock
        "57014",  # took too long
        "PGRST000",  # no connection
        "PGRST001",
        "PGRST002",  # the schema is not read yet
        "PGRST003",  # no connection of the pool came free
    } or code.startswith(("08", "53", "57P"))  # lost; no resources; shutdown or crash


class Customer(Person):
    def act(self) -> None:
        action = self.random.choices(
            (self.pay, self.book_free, self.cancel, self.broadcast, self.read), (6, 2, 1, 1, 1)
        )[0]
        action()

    def pay(self) -> None:
        checkout = self.rpc(
            "prepare", "prepare_checkout", plan_code="quick-chat", **self.wish(), **self.window()
        )
        if checkout:
            self.world.stripe.pay(self.user, checkout["metadata"])

    def book_free(self) -> None:
        booked = self.rpc(
            "book", "request_free_session", plan_code="free-diagnostic", **self.wish()
        )
        if booked:
            self.world.met(self.user, booked["id"])

    def wish(self) -> dict[str, str]:
        if self.random.random() < 0.3:
            return {}
        favourite = self.random.choice(self.world.favourites)
        return {"preferred_mechanic_id": favourite, "routing_type": "priority_broadcast"}

    def window(self) -> dict[str, int]:
        return {"priority_window_minutes": self.random.choice((1, 10, 60))}

    def own(self) -> str | None:
        requests = self.world.requests_of(self.user)
        return self.random.choice(requests) if requests else None

    def cancel(self) -> None:
        if request := self.own():
            self.rpc("cancel", "cancel_session_request", request_id=request)

    def broadcast(self) -> None:
        if request := self.own():
            self.rpc("broadcast", "broadcast_session_request_now", request_id=request)

    def read(self) -> None:
        if request := self.own():
            self.rpc("read", "get_session_request_timeline", request_id=request)


class Mechanic(Person):
    def __init__(self, world: "World", user: str) -> None:
        super().__init__(world, user)
        self.jobs: deque[str] = deque(maxlen=20)

    def act(self) -> None:
        action = self.random.choices(
            (self.work, self.guess, self.look, self.complete, self.appear), (6, 4, 1, 2, 1)
        )[0]
        action()

    def work(self) -> None:
        listed = self.rpc("list", "list_open_session_requests")
        if listed:
            row = self.random.choice(listed)
            self.answer(row["request_id"])

    def guess(self) -> None:
        """Try a request just made, whoever it is reserved for."""
        if self.world.recent:
            self.answer(self.random.choice(self.world.recent))

    def answer(self, request: str) -> None:
        if self.random.random() < 0.15:
            self.rpc("decline", "decline_session_request", request_id=request)
        elif self.rpc("accept", "accept_session_request", request_id=request):
            self.jobs.append(request)

    def look(self) -> None:
        """Read the table itself."""
        self.ask("look", "GET", "/session_requests?status=eq.pending&select=id")

    def complete(self) -> None:
        if self.jobs:
            self.rpc("complete", "complete_session_request", request_id=self.jobs.popleft())

    def appear(self) -> None:
        self.rpc("appear", "set_presence", status=self.random.choice(("online", "away")))


class Backend(Person):
    """Writes requests itself; their windows have begun long ago, and end within seconds."""

    def act(self) -> None:
        customer = self.random.choice(self.world.customers)
        began = datetime.now(UTC) - timedelta(seconds=60 - self.random.uniform(0.2, 4))
        rows = self.ask(
            "insert",
            "POST",
            "/session_requests",
            json={
                "customer_id": customer,
                "session_type": "chat",
                "plan_code": "quick-chat",
                "preferred_mechanic_id": self.random.choice(self.world.favourites),
                "priority_window_minutes": 1,
                "priority_notified_at": began.isoformat(),
                "expires_at": (datetime.now(UTC) + timedelta(seconds=30)).isoformat(),
            },
        )
        for row in rows or []:
            self.world.met(customer, row["id"])


@dataclass(order=True)
class Due:
    at: float
    number: int
    event: Event = field(compare=False)
    customer: str = field(compare=False)


class Stripe:
    """Sends each event until it is acknowledged: late, twice, in any order, and again later."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.random = random.Random(f"{world.seed} stripe")
        self.lock = threading.Lock()
        self.waiting: list[Due] = []
        self.unacknowledged: set[str] = set()

    def pay(self, customer: str, metadata: dict[str, str]) -> None:
        payment = f"pi_{self.random.getrandbits(64):x}"
        paid = paid_checkout(metadata, payment_intent=payment)
        events = [paid]
        if self.random.random() < 0.3:  # a bank transfer: complete first, paid later
            checkout = paid["data"]["object"]
            paid["data"]["object"] = checkout | {"payment_status": "unpaid"}
            events.append(stripe_event("checkout.session.async_payment_succeeded", **checkout))
        if self.random.random() < 0.1:
            events.append(stripe_event("charge.refunded", payment_intent=payment, refunded=True))
        for event in events:
            for _ in range(self.random.choice((1, 1, 2, 3))):
                self.send(event, customer, self.random.expovariate(3))
            if self.random.random() < 0.05:
                self.send(event, customer, 5)

    def send(self, event: Event, customer: str, delay: float) -> None:
        with self.lock:
            self.unacknowledged.add(event["id"])
            due = Due(time.monotonic() + delay, next(self.world.numbers), event, customer)
            heapq.heappush(self.waiting, due)

    def act(self) -> None:
        with self.lock:
            if not self.waiting or self.waiting[0].at > time.monotonic():
                return
            due = heapq.heappop(self.waiting)
        event, customer = due.event, due.customer
        answer: dict[str, Any] = {}
        try:
            status, answer = post_event(self.world.env, event, TIMEOUT)
        except (OSError, HTTPException):
            outcome = LOST
        else:
            outcome = OK if status == 200 else LOST if status >= 500 else f"{status} {answer}"
        session = event["data"]["object"]
        self.world.record.postings.append(
            Posting(
                event["id"],
                # Told that it is not paid yet, nobody has a right to a request.
                "unpaid" if session.get("payment_status") == "unpaid" else event["type"],
                customer,
                session.get("id"),
                session["payment_intent"],
                outcome,
            )
        )
        if outcome == OK:
            self.unacknowledged.discard(event["id"])
            if answer["request_id"]:
                self.world.met(customer, answer["request_id"])
        elif customer not in self.world.record.users("deleted"):
            self.send(event, customer, self.random.uniform(0.1, 1))
        else:
            self.unacknowledged.discard(event["id"])


class Listener(Person):
    """Listens, and reads the event log from its cursor after each notice and each reconnect."""

    def __init__(self, world: "World", user: str, *topics: str) -> None:
        super().__init__(world, user)
        self.topics, self.cursor, self.behind = topics, 0, True
        self.connection: psycopg.Connection[Any] | None = None
        world.record.topics[user] = topics
        self.listed = world.record.listed.setdefault(user, [])

    def act(self) -> None:
        try:
            connection = self.connection or self.listen()
            for notice in connection.notifies(timeout=0.3, stop_after=1):
                self.hear(notice)
        except psycopg.OperationalError:
            self.connection = None
            return
        if self.behind:
            self.behind = not self.catch_up()

    def listen(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self.world.env["DATABASE_URL"],
            autocommit=True,
            connect_timeout=5,
            application_name=LISTENER,
        )
        for topic in self.topics:
            connection.execute(sql.SQL("listen {}").format(sql.Identifier(topic)))
        self.connection, self.behind = connection, True
        return connection

    def hear(self, notice: psycopg.Notify) -> None:
        payload = json.loads(notice.payload)
        self.behind = True
        self.world.record.notices.append(
            Notice(
                self.user, notice.channel, payload["event_id"], payload["request_id"], time.time()
            )
        )

    def catch_up(self) -> bool:
        """Read to the end; False: an answer was lost."""
        while True:
            page = self.rpc("catch up", "list_session_request_events", after=self.cursor)
            if not page:
                return page is not None
            self.listed += [row["event_id"] for row in page]
            self.cursor = page[-1]["event_id"]

    def close(self) -> None:
        super().close()
        if self.connection:
            self.connection.close()


class World:
    """All of them, and what they know of each other."""

    def __init__(self, env: Env, seed: int, record: Record) -> None:
        self.env, self.seed, self.record = env, seed, record
        self.numbers = itertools.count()
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as owner:
            self.customers = [add_user(owner) for _ in range(CUSTOMERS)]
            self.mechanics = [add_mechanic(owner, "Mia") for _ in range(MECHANICS)]
        # Whom customers ask for; a fault adds some, who then are suspended or deleted.
        self.favourites: tuple[str, ...] = tuple(self.mechanics)
        self.recent: deque[str] = deque(maxlen=30)
        self.requests: dict[str, deque[str]] = {}
        self.stripe = Stripe(self)
        self.listeners = [Listener(self, user, f"customer:{user}") for user in self.customers]
        self.listeners += [
            Listener(self, user, f"mechanic:{user}", "session_requests_feed")
            for user in self.mechanics
        ]
        self.actors: list[tuple[Customer | Mechanic | Backend, float]] = [
            *((Customer(self, user), 0.2) for user in self.customers),
            *((Mechanic(self, user), 0.05) for user in self.mechanics),
            (Backend(self, "", "service_role"), 0.15),
        ]

    def met(self, customer: str, request: str) -> None:
        self.requests.setdefault(customer, deque(maxlen=20)).append(request)
        self.recent.append(request)

    def requests_of(self, customer: str) -> list[str]:
        return list(self.requests.get(customer, ()))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Everyone acts; at the end clients stop first, and Stripe when all is acknowledged."""
        with Threads() as listening:
            for listener in self.listeners:
                listening.repeat(listener.act, 0.1)
            with Threads() as paying:
                for _ in range(STRIPES):
                    paying.repeat(self.stripe.act, 0.02)
                with Threads() as acting:
                    for actor, pause in self.actors:
                        acting.repeat(actor.act, pause)
                    yield
                deadline = time.monotonic() + 60
                while self.stripe.unacknowledged and time.monotonic() < deadline:
                    time.sleep(0.05)

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        for actor, _ in self.actors:
            actor.close()
