"""Installs procrastinate, or does what is due and prints how many seconds that took."""

import asyncio
import logging
import sys
import time

from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

CONCURRENCY = 10


async def install(dsn: str) -> None:
    app = App(connector=PsycopgConnector(conninfo=dsn))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work(dsn: str, handler: str) -> None:
    """The function in the database is what its handler calls for each job."""
    logging.disable()
    app = App(connector=PsycopgConnector(conninfo=dsn, max_size=CONCURRENCY))
    async with (
        app.open_async(),
        AsyncConnectionPool(
            dsn, min_size=CONCURRENCY, kwargs={"autocommit": True}, open=False
        ) as pool,
    ):

        @app.task(name="fallback", queue="fallback")
        async def fallback(request_id: str) -> None:
            async with pool.connection() as connection:
                await connection.execute(f"select {handler}(%s)".encode(), (request_id,))

        began = time.perf_counter()
        await app.run_worker_async(
            wait=False, concurrency=CONCURRENCY, install_signal_handlers=False
        )
        print(time.perf_counter() - began)


dsn, handler = sys.argv[1:]
asyncio.run(install(dsn) if handler == "install" else work(dsn, handler))
