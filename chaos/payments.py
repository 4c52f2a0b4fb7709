"""Stripe: each event sent until it is acknowledged, late, twice, in any order, and again later."""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from chaos.record import LOST, OK, Posting, Record
from stack.clients import Env, Event, paid_checkout, post_event, stripe_event

TIMEOUT = 20


@dataclass(order=True)
class Due:
    at: float
    number: int
    event: Event = field(compare=False)
    customer: str = field(compare=False)


class Stripe:
    """`met` is told of each request that came of a payment: its customer, and its id."""

    def __init__(
        self, env: Env, seed: int, record: Record, met: Callable[[str, str], None]
    ) -> None:
        self.env, self.record, self.met = env, record, met
        self.random = random.Random(f"{seed} stripe")
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.waiting: list[Due] = []
        self.unacknowledged: set[str] = set()

    def pay(self, customer: str, metadata: dict[str, str]) -> Event:
        """A session is paid; what came first of it is the answer."""
        payment = f"pi_{self.random.getrandbits(64):x}"
        paid = paid_checkout(metadata, payment_intent=payment)
        events = [paid]
        if self.random.random() < 0.3:  # a bank transfer: complete first, paid later
            checkout = paid["data"]["object"]
            paid["data"]["object"] = checkout | {"payment_status": "unpaid"}
            events.append(stripe_event("checkout.session.async_payment_succeeded", **checkout))
        elif self.random.random() < 0.1:  # Stripe may make two events of one thing
            events.append(stripe_event(paid["type"], **paid["data"]["object"]))
        if self.random.random() < 0.1:
            events.append(stripe_event("charge.refunded", payment_intent=payment, refunded=True))
        for event in events:
            # Twice, or in another order than they came about; one in twenty is long on its way.
            for _ in range(self.random.choice((1, 1, 2, 3))):
                late = self.random.random() < 0.05
                self.send(event, customer, self.random.uniform(5, 40) if late else self.soon())
            if self.random.random() < 0.1:  # replayed, long after it was acknowledged
                self.send(event, customer, self.random.uniform(5, 40))
        return events[0]

    def soon(self) -> float:
        return self.random.expovariate(3)

    def send(self, event: Event, customer: str, delay: float) -> None:
        with self.lock:
            self.unacknowledged.add(event["id"])
            due = Due(time.monotonic() + delay, next(self.numbers), event, customer)
            heapq.heappush(self.waiting, due)

    def send_all_now(self) -> None:
        with self.lock:
            for due in self.waiting:
                due.at = 0
            heapq.heapify(self.waiting)

    @property
    def is_done(self) -> bool:
        """Whether every event is acknowledged, and none of them still to come."""
        with self.lock:
            return not self.waiting and not self.unacknowledged

    def act(self) -> None:
        with self.lock:
            if not self.waiting or self.waiting[0].at > time.monotonic():
                return
            due = heapq.heappop(self.waiting)
        self.post(due.event, due.customer)

    def post(self, event: Event, customer: str) -> None:
        began = time.time()
        answer: dict[str, Any] = {}
        try:
            status, answer = post_event(self.env, event, TIMEOUT)
        except (OSError, HTTPException):
            outcome = LOST
        else:
            outcome = (
                OK
                if status == 200
                else LOST
                if status == 503
                else answer["error"]
                if status == 500
                else f"{status} {answer}"
            )
        session = event["data"]["object"]
        self.record.postings.append(
            Posting(
                event["id"],
                # Told that it is not paid yet, nobody has a right to a request.
                "unpaid" if session.get("payment_status") == "unpaid" else event["type"],
                customer,
                session.get("metadata", {}).get("plan_code"),
                session.get("id"),
                session["payment_intent"],
                outcome,
                began,
                time.time(),
            )
        )
        if outcome == OK:
            self.unacknowledged.discard(event["id"])
            if answer["request_id"]:
                self.met(customer, answer["request_id"])
        elif customer not in self.record.subjects("deleted"):
            self.send(event, customer, self.random.uniform(0.1, 1))
        else:
            self.unacknowledged.discard(event["id"])
