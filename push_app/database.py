"""The sender's two calls, and the notices that wake it."""

import asyncio
import json
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from app_base.database import Pooled

CHANNEL = "dispatch_pushes"


@dataclass(frozen=True)
class Push:
    push_id: int
    endpoint: str
    p256dh: str
    auth: str
    payload: str
    ttl: int
    urgency: str
    topic: str


@dataclass(frozen=True)
class Answer:
    """What the push service said; no status: nothing."""

    push_id: int
    status: int | None
    retry_after: int | None = None


class Database(Pooled):
    def __init__(self, url: str) -> None:
        # A pooler in transaction mode hands each transaction to another connection.
        super().__init__(url, "push_app", max_size=2, timeout=5, prepare_threshold=None)

    async def claim(self, most: int) -> list[Push]:
        """What is due, for this sender alone for 30 seconds."""
        async with self.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Push))
            await cursor.execute("select * from public.claim_pushes(%s)", [most])
            return await cursor.fetchall()

    async def finish(self, answers: list[Answer]) -> None:
        async with self.connection() as connection:
            await connection.execute(
                "select public.finish_pushes(%s)", [json.dumps([vars(each) for each in answers])]
            )

    async def listen(self, wake: asyncio.Event) -> None:
        """Set wake whenever something is queued, for ever. Through a pooler in transaction mode it
        hears nothing, and the sender's own looking must do."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, **self._connect
                ) as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    wake.set()  # for what was queued before
                    async for _ in connection.notifies():
                        wake.set()
            except psycopg.Error:
                await asyncio.sleep(1)
