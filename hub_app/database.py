"""What the hub asks the database, and the notices that wake it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

CHANNEL = "dispatch_events"
CONNECT: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 5,
    # A server that vanishes without a word must not hold the hub for ever.
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "fallback_application_name": "hub_app",
}
# How long it waits for a notice before it looks by itself.
LOOK_EVERY = 1
# So many events at once, each with thousands who hear of it.
PAGE = 50


@dataclass(frozen=True)
class Event:
    event_id: int
    event: str
    payload: str


@dataclass(frozen=True)
class Heard(Event):
    # With spaces between: thousands of them, which no driver has to make an array of.
    user_ids: str


class Database:
    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = AsyncConnectionPool(
            url, kwargs=CONNECT, min_size=1, max_size=4, timeout=20, reconnect_timeout=5, open=False
        )

    async def __aenter__(self) -> "Database":
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def admit(self, claims: str, role: str | None) -> str:
        """The user of these claims, who may listen."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select dispatch.admit_listener(%s, %s)::text", [claims, role]
            )
            (user_id,) = await cursor.fetchone() or ("",)
            return str(user_id)

    async def missed(
        self, claims: str, role: str | None, after: int | None, most: int
    ) -> list[Event]:
        """What the user of these claims has not seen; after None: the last event alone."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Event))
            await cursor.execute(
                "select * from dispatch.list_missed_events(%s, %s, %s, %s)",
                [claims, role, after, most],
            )
            return await cursor.fetchall()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Log"]:
        async with await psycopg.AsyncConnection.connect(self._url, **CONNECT) as connection:
            await connection.execute(f"listen {CHANNEL}")
            yield Log(connection)


class Log:
    """The event log, over the connection that listens."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def read(self, after: int | None, users: str) -> list[Heard]:
        """What came after this, and who of `users` hears of it; after None: the last alone."""
        cursor = self._connection.cursor(row_factory=class_row(Heard))
        await cursor.execute(
            "select event_id, event, payload, array_to_string(user_ids, ' ') as user_ids"
            " from dispatch.hear_events(%s, %s, %s)",
            [after, users, PAGE],
        )
        return await cursor.fetchall()

    async def wait(self) -> None:
        async for _ in self._connection.notifies(timeout=LOOK_EVERY, stop_after=1):
            pass
