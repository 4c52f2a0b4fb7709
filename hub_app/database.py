"""What the hub asks the database, and the notices that wake it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

from app_base.database import Pooled, answering

CHANNEL = "dispatch_events"
# How long it waits for a notice before it looks by itself.
LOOK_EVERY = 1
# So many events at once.
PAGE = 50


@dataclass(frozen=True)
class Event:
    event_id: int
    event: str
    payload: str


@dataclass(frozen=True)
class Heard(Event):
    """An event, and whom it names; on the feed it is for more, but hidden from some."""

    # With spaces between, here and below.
    user_ids: str
    is_on_feed: bool
    hidden_from: str


class Database(Pooled):
    def __init__(self, url: str) -> None:
        super().__init__(url, "hub_app", max_size=4, timeout=20)

    async def admit(self, claims: str, role: str | None) -> str:
        """The user of these claims, who may listen."""
        async with self.connection() as connection:
            cursor = await connection.execute(
                "select dispatch.admit_listener(%s, %s)::text", [claims, role]
            )
            (user_id,) = await cursor.fetchone() or ("",)
            return str(user_id)

    async def missed(
        self, claims: str, role: str | None, after: int | None, most: int
    ) -> list[Event]:
        """What the user of these claims has not seen; after None: the last event alone."""
        async with self.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Event))
            await cursor.execute(
                "select * from dispatch.list_missed_events(%s, %s, %s, %s)",
                [claims, role, after, most],
            )
            return await cursor.fetchall()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Log"]:
        async with await psycopg.AsyncConnection.connect(self._url, **self._connect) as connection:
            async with answering():
                await connection.execute(f"listen {CHANNEL}")
            yield Log(connection)


class Log:
    """The event log, over the connection that listens."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def read(self, after: int | None) -> list[Heard]:
        """What came after this; after None: the last alone."""
        cursor = self._connection.cursor(row_factory=class_row(Heard))
        async with answering():
            await cursor.execute(
                "select event_id, event, payload, array_to_string(user_ids, ' ') as user_ids,"
                "  is_on_feed, array_to_string(hidden_from, ' ') as hidden_from"
                " from dispatch.hear_events(%s, %s)",
                [after, PAGE],
            )
            return await cursor.fetchall()

    async def on_feed(self, users: list[str]) -> list[str]:
        """Those of these users who hear of what is on the feed."""
        # As text: thousands, which no driver has to make an array of.
        async with answering():
            cursor = await self._connection.execute(
                "select array_to_string(dispatch.hear_feed(%s), ' ')",
                ["{" + ",".join(users) + "}"],
            )
            (positions,) = await cursor.fetchone() or ("",)
        return [users[int(position) - 1] for position in positions.split()]

    async def wait(self) -> None:
        async for _ in self._connection.notifies(timeout=LOOK_EVERY, stop_after=1):
            pass
