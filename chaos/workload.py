"""Customers, mechanics and a marketplace's backend, each in threads of its own; and all together.

Whoever is answered writes it into the record. All choices come from seeded random numbers; which
of them meet at one moment is up to the machine.
"""

import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg

from chaos.client import Client
from chaos.payments import Stripe
from chaos.record import Record
from chaos.threads import Threads
from stack.clients import Env, add_mechanic, add_user

CUSTOMERS, MECHANICS, STRIPES = 4, 6, 3


class Person(Client):
    def __init__(self, world: "World", user: str, role: str = "authenticated") -> None:
        super().__init__(world.env, world.record.answers.append, user, role)
        self.world = world
        self.random = random.Random(f"{world.seed} {next(world.numbers)}")


class Customer(Person):
    def act(self) -> None:
        action = self.random.choices(
            (self.pay, self.book_free, self.cancel, self.broadcast, self.read, self.reopen),
            (6, 2, 1, 1, 1, 1),
        )[0]
        action()

    def pay(self) -> None:
        favourites = self.wish()
        checkout = self.rpc(
            "prepare",
            "prepare_checkout",
            plan_code="quick-chat",
            # Sixty minutes in all.
            priority_window_minutes=self.random.choice((1, 10, 60 // max(1, len(favourites)))),
            **asked_for(favourites),
        )
        if checkout:
            metadata = checkout["metadata"]
            paid = self.world.stripe.pay(self.user, metadata)
            if "preferred_mechanic_id" in metadata:  # else the flag is off
                self.world.record.wishes[paid["data"]["object"]["id"]] = favourites

    def book_free(self) -> None:
        favourites = self.wish()
        booked = self.rpc(
            "book",
            "request_free_session",
            plan_code="free-diagnostic",
            **asked_for(favourites),
        )
        if booked:
            self.world.record.wishes[booked["id"]] = favourites
            self.world.met(self.user, booked["id"])

    def wish(self) -> tuple[str, ...]:
        """Nobody, one favourite, or two or three in order."""
        return self.world.favourites_in_order(self.random, (3, 4, 2, 2))

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

    def reopen(self) -> None:
        """Nobody came."""
        waited = [request for customer, request in [*self.world.long_ago] if customer == self.user]
        if request := self.random.choice(waited) if waited else self.own():
            self.rpc("reopen", "reopen_session_request", request_id=request)


class Mechanic(Person):
    def __init__(self, world: "World", user: str) -> None:
        super().__init__(world, user)
        self.jobs: deque[str] = deque(maxlen=20)

    def act(self) -> None:
        action = self.random.choices(
            (self.work, self.guess, self.look, self.complete, self.appear, self.give_back),
            (6, 4, 1, 2, 1, 1),
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
            self.world.accepted.append(request)

    def look(self) -> None:
        """Read the table itself."""
        self.ask("look", "GET", "/session_requests?status=eq.pending&select=id")

    def complete(self) -> None:
        if self.jobs:
            self.rpc("complete", "complete_session_request", request_id=self.jobs.popleft())

    def give_back(self) -> None:
        """And sometimes want it again."""
        if self.jobs:
            request = self.jobs.pop()
            self.rpc("release", "release_session_request", request_id=request, reason="a flat tyre")
            self.world.recent.append(request)
            if self.random.random() < 0.3:
                self.answer(request)

    def appear(self) -> None:
        self.rpc("appear", "set_presence", status=self.random.choice(("online", "away")))


class Backend(Person):
    """Writes requests itself."""

    def act(self) -> None:
        action = self.random.choices((self.book, self.book_a_chain, self.let_wait), (4, 2, 1))[0]
        action()

    def book(self) -> None:
        """A window that has begun long ago, and ends within seconds."""
        self.insert(
            self.random.choice(self.world.customers),
            self.random.choice(self.world.favourites),
            60 - self.random.uniform(0.2, 4),
            priority_window_minutes=1,
            expires_at=(datetime.now(UTC) + timedelta(seconds=30)).isoformat(),
        )

    def book_a_chain(self) -> None:
        """Whose first turn ends within seconds, and the next a minute later."""
        favourites = self.world.favourites_in_order(self.random, (0, 0, 1, 1))
        booked = self.insert(
            self.random.choice(self.world.customers),
            None,
            60 - self.random.uniform(0.2, 4),
            metadata={
                "routing_type": "priority_broadcast",
                "preferred_mechanic_ids": ",".join(favourites),
                "priority_window_minutes": "1",
            },
        )
        if booked:
            self.world.record.wishes[booked] = favourites

    def let_wait(self) -> None:
        """Ten minutes pass for whoever waits for a mechanic."""
        if not self.world.accepted:
            return
        request = self.random.choice(self.world.accepted)
        accepted_at = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
        rows = self.ask(
            "wait",
            "PATCH",
            f"/session_requests?id=eq.{request}&status=eq.accepted",
            json={"accepted_at": accepted_at},
        )
        if rows:
            self.world.long_ago.append((rows[0]["customer_id"], request))

    def insert(
        self, customer: str, favourite: str | None, seconds_ago: float = 0, **columns: object
    ) -> str | None:
        """The request's id; None: no answer."""
        began = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        request = {
            "customer_id": customer,
            "session_type": "chat",
            "plan_code": "quick-chat",
            "preferred_mechanic_id": favourite,
            "priority_notified_at": began.isoformat(),
        }
        rows = self.ask("insert", "POST", "/session_requests", json=request | columns)
        if not rows:
            return None
        self.world.met(customer, rows[0]["id"])
        return str(rows[0]["id"])


def asked_for(favourites: tuple[str, ...]) -> dict[str, object]:
    """What a customer's app sends: the one favourite, or all of them in order."""
    if not favourites:
        return {}
    wish: dict[str, object] = {"routing_type": "priority_broadcast"}
    if len(favourites) == 1:
        return wish | {"preferred_mechanic_id": favourites[0]}
    return wish | {"preferred_mechanic_ids": favourites}


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
        self.accepted: deque[str] = deque(maxlen=30)
        # Accepted ten minutes ago: by which customer, and the request.
        self.long_ago: deque[tuple[str, str]] = deque(maxlen=20)
        self.requests: dict[str, deque[str]] = {}
        self.stripe = Stripe(env, seed, record, self.met)
        record.topics |= {user: (f"customer:{user}",) for user in self.customers}
        record.topics |= {
            user: (f"mechanic:{user}", "session_requests_feed") for user in self.mechanics
        }
        record.listed |= {user: [] for user in record.topics}
        self.actors: list[tuple[Customer | Mechanic | Backend, float]] = [
            *((Customer(self, user), 0.2) for user in self.customers),
            *((Mechanic(self, user), 0.05) for user in self.mechanics),
            (Backend(self, "", "service_role"), 0.15),
        ]

    def met(self, customer: str, request: str) -> None:
        self.requests.setdefault(customer, deque(maxlen=20)).append(request)
        self.recent.append(request)

    def favourites_in_order(
        self, chosen: random.Random, weights: tuple[int, ...]
    ) -> tuple[str, ...]:
        """As many of them as the place of a weight says; nobody twice."""
        favourites = self.favourites
        (count,) = chosen.choices(range(len(weights)), weights)
        # One who is there more often is chosen more often.
        shuffled = chosen.sample(favourites, len(favourites))
        return tuple(dict.fromkeys(shuffled))[:count]

    def requests_of(self, customer: str) -> list[str]:
        return list(self.requests.get(customer, ()))

    @contextmanager
    def at_work(self, patience: float) -> Iterator[None]:
        """Everyone acts; at the end people stop first, and Stripe when all is acknowledged."""
        with Threads() as paying:
            for _ in range(STRIPES):
                paying.repeat(self.stripe.act, 0.02)
            with Threads() as acting:
                for actor, pause in self.actors:
                    acting.repeat(actor.act, pause)
                yield
            self.stripe.send_all_now()
            deadline = time.monotonic() + patience
            while not self.stripe.is_done and time.monotonic() < deadline:
                time.sleep(0.05)

    def close(self) -> None:
        for actor, _ in self.actors:
            actor.close()
