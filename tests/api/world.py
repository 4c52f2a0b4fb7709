"""Who uses the stack in these tests, and what becomes of their bookings."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from http.client import HTTPException
from typing import Any, Self

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from supabase import Client, PostgrestAPIError

from stack.clients import (
    TLS,
    Env,
    Event,
    add_mechanic,
    add_user,
    client,
    paid_checkout,
    post_event,
)
from stack.tokens import sign
from tests.database import eventually

Row = dict[str, Any]
Metadata = dict[str, str]


@dataclass
class Person:
    """A token, used through supabase-py (`client`) or bare HTTP (`http`)."""

    env: Env = field(repr=False)
    id: str
    token: str = field(repr=False)
    topics: tuple[str, ...] = field(default=())

    @cached_property
    def client(self) -> Client:
        return client(self.env, self.token)

    @cached_property
    def http(self) -> httpx.Client:
        headers = {"apikey": self.env["SUPABASE_ANON_KEY"]}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        url = f"{self.env['SUPABASE_URL']}/rest/v1"
        return httpx.Client(base_url=url, headers=headers, verify=TLS)

    def rpc(self, function: str, **arguments: object) -> Any:
        return self.client.rpc(function, arguments).execute().data

    def post(self, function: str, **arguments: object) -> httpx.Response:
        return self.http.post(f"/rpc/{function}", json=arguments)

    def sees(self, request_id: str) -> bool:
        """Whether the request is in the table for them."""
        query = self.client.table("session_requests").select("id").eq("id", request_id)
        return bool(query.execute().data)

    def may_take(self, request_id: str) -> bool:
        """Whether the request is in the mechanic's list, which must agree with the table."""
        listed = any(
            row["request_id"] == request_id for row in self.rpc("list_open_session_requests")
        )
        assert listed == self.sees(request_id)
        return listed

    def events(self, after: int = 0) -> list[Row]:
        """All events after a cursor, page by page."""
        found: list[Row] = []
        while page := self.rpc("list_session_request_events", after=after, max_rows=50):
            found += page
            after = page[-1]["event_id"]
        return found


@contextmanager
def refused(code: str, detail: str | None = None) -> Iterator[None]:
    """supabase-py raises an error with this code; one of the contract's says all it must."""
    with pytest.raises(PostgrestAPIError) as raised:
        yield
    error = raised.value
    assert error.code == code, error
    if detail:
        assert error.details == detail and error.hint and error.message


class World:
    """The stack from outside, and its owner's connection."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.owner: psycopg.Connection[Any] = psycopg.connect(
            env["DATABASE_URL"], autocommit=True, row_factory=dict_row
        )
        self.turn(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.owner.close()

    def sql(self, query: str, *params: object) -> list[Row]:
        cursor = self.owner.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def turn(self, enabled: bool) -> None:
        self.sql("select dispatch.set_favorites_priority(%s)", enabled)

    def person(self, user_id: str, *topics: str) -> Person:
        token = sign("authenticated", user_id, secret=self.env["JWT_SECRET"])
        return Person(self.env, user_id, token, topics)

    def customer(self) -> Person:
        user_id = add_user(self.owner)
        return self.person(user_id, f"customer:{user_id}")

    def mechanic(self, status: str | None = "approved") -> Person:
        user_id = add_mechanic(self.owner, "Mia", status)
        return self.person(user_id, f"mechanic:{user_id}", "session_requests_feed")

    def anyone(self, role: str = "anon") -> Person:
        """Somebody with a role's key and no user."""
        return Person(self.env, "", sign(role, secret=self.env["JWT_SECRET"]))

    def metadata(self, customer: Person, preferred: Person | None = None) -> Metadata:
        """What `prepare_checkout` gives to Stripe."""
        wish = {
            "routing_type": "priority_broadcast",
            "preferred_mechanic_id": preferred and preferred.id,
        }
        checkout = customer.rpc(
            "prepare_checkout", plan_code="quick-chat", **(wish if preferred else {})
        )
        metadata: Metadata = checkout["metadata"]
        return metadata

    def book(self, customer: Person, preferred: Person | None = None) -> str:
        """A booking paid at Stripe; the request's id."""
        return self.deliver(paid_checkout(self.metadata(customer, preferred)))

    def deliver(self, event: Event) -> str:
        status, answer = post_event(self.env, event)
        assert (status, answer["outcome"]) == (200, "request_created")
        return str(answer["request_id"])

    def deliver_notices(self) -> None:
        """Send all that waits to be told. The sweep may be at it, too, and not yet committed."""
        waits = "select id from dispatch.request_events where delivered_at is null limit 1"
        self.sql("select dispatch.deliver_events()")
        eventually(lambda: not self.sql(waits))

    def request(self, request_id: str) -> Row:
        (row,) = self.sql("select * from public.session_requests where id = %s", request_id)
        return row

    def is_whole(self, events: list[Event]) -> bool:
        """Whether each event has its row in the ledger and its session exactly one request."""
        (found,) = self.sql(
            """
            select count(*) as events, count(distinct e.id) as ids, count(r.id) as requests
            from dispatch.stripe_events as e
            left join public.session_requests as r
                on r.metadata ->> 'stripe_checkout_session_id' = e.payload #>> '{data,object,id}'
            where e.id = any(%s) and e.outcome = 'request_created' and e.processed_at is not null
            """,
            [event["id"] for event in events],
        )
        return set(found.values()) == {len(events)}

    def end_window(self, request_id: str) -> None:
        """Let the window be over, without the sweep having announced it."""
        self.sql(
            "update public.session_requests set priority_notified_at = now()"
            " - make_interval(mins => priority_window_minutes) where id = %s",
            request_id,
        )

    def expire(self, request_id: str) -> None:
        self.sql("update public.session_requests set status = 'expired' where id = %s", request_id)


def storm(env: Env, metadata: Metadata, trouble: Callable[[], None]) -> list[Event]:
    """Post paid sessions from many threads while there is trouble; all that was acknowledged.

    Each event is sent again until it is answered with 200, and then once more, as Stripe may.
    """
    acknowledged: list[Event] = []
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            event = paid_checkout(metadata)
            for _ in range(2):
                eventually(partial(takes, env, event), 90)
            acknowledged.append(event)

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send) for _ in range(8)]
        try:
            trouble()
        finally:
            over.set()
    for each in sent:
        each.result()
    return acknowledged


def takes(env: Env, event: Event) -> bool:
    """Whether the webhook acknowledges; else it may only be in trouble, never refuse."""
    try:
        status, _ = post_event(env, event)
    except (OSError, HTTPException):
        return False
    assert status == 200 or status >= 500, status
    return status == 200
