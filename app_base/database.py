"""The connections of an app that waits for the database's notices."""

import asyncio
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

# Whatever is asked takes milliseconds. What stands between (a pooler that has lost its own server)
# may answer for TCP, and never for the database.
ANSWER_SECONDS = 10

# A session that only reads stays so for as long as it lives, though the disk has room again or
# another server is the primary by now. So it is ended where it is: a pooler would else keep it, and
# lend it for an hour more. (It may lend another for this, which is left alone.) What only a pooler
# says, as PgBouncer from 1.26 on makes a client's sessions what its pool's first one was, is taken
# back: they are then as the server has them.
WRITE_AGAIN = """
select case
    when pg_catalog.current_setting('transaction_read_only') = 'off' then null
    when
        not pg_catalog.pg_is_in_recovery()
        and pg_catalog.set_config('default_transaction_read_only', s.reset_val, false) = 'off'
        then null
    else pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())
end
from pg_catalog.pg_settings as s
where s.name = 'default_transaction_read_only'
"""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """What is asked inside is answered in time, or the connection counts as lost."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise psycopg.OperationalError(f"no answer in {ANSWER_SECONDS} s") from error


async def not_ended(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raises if the server has ended this session (idle for too long, a restart): it says so by
    itself, and to one that nobody uses it says little else."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    if said.poll(0):
        await connection.close()
        raise psycopg.OperationalError("the server has ended the session")


class Pooled:
    """A pool, open inside the context; `connect` is how a connection beside it is made."""

    def __init__(
        self, url: str, app: str, *, max_size: int, timeout: float, **options: object
    ) -> None:
        self._url = url
        self._connect: dict[str, Any] = {
            "autocommit": True,
            # A role's own may lack a letter of what is read.
            "client_encoding": "utf8",
            "connect_timeout": 5,
            # A server that vanishes without a word must not hold the app for ever.
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 5000,
            "fallback_application_name": app,
            **options,
        }
        self._pool = AsyncConnectionPool(
            url,
            kwargs=self._connect,
            min_size=1,
            max_size=max_size,
            timeout=timeout,
            reconnect_timeout=5,
            check=not_ended,
            open=False,
        )
        self._answered_at = 0.0

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One of the pool's, for one question."""
        async with self._pool.connection() as connection:
            try:
                async with answering():
                    yield connection
                self._answered_at = time.monotonic()
            except psycopg.errors.ReadOnlySqlTransaction:
                try:
                    async with answering():
                        await connection.execute(WRITE_AGAIN)
                except psycopg.Error:
                    await connection.close()
                raise

    async def answers(self, seconds: float) -> bool:
        """Whether the pool has a connection, and the server answers. Where many wait for one, that
        any of them has been answered meanwhile is as good."""
        began = time.monotonic()
        with suppress(psycopg.Error, PoolTimeout, TimeoutError):
            async with asyncio.timeout(seconds), self.connection() as connection:
                await connection.execute("select 1")
        return self._answered_at >= began
