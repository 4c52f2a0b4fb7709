"""Installs PgQueuer, or does what is due and prints how many seconds that took."""

import asyncio
import logging
import sys
import time
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

CONCURRENCY = 10
# As its own benchmark has it.
BATCH = 100


async def install(dsn: str) -> None:
    """Its tables, and its own statements as functions, so that SQL can call them."""
    connection = await asyncpg.connect(dsn)
    await Queries(AsyncpgDriver(connection)).install()
    builder = QueryQueueBuilder()
    for head, query in (
        (
            "pgqueuer_enqueue(int[], text[], bytea[], interval[], text[], jsonb[])"
            " returns table (ord bigint, id bigint)",
            builder.build_enqueue_query(),
        ),
        (
            "pgqueuer_finish(bigint[], pgqueuer_status[], jsonb[]) returns void",
            builder.build_log_job_query(),
        ),
    ):
        await connection.execute(f"create function bench.{head} language sql as $${query}$$")
    await connection.close()


async def work(dsn: str, handler: str) -> None:
    """The function in the database is what its handler calls for each job."""
    logging.disable()
    async with asyncpg.create_pool(dsn, min_size=CONCURRENCY, max_size=CONCURRENCY) as pool:
        worker = PgQueuer(AsyncpgPoolDriver(pool))
        # Draining waits a little for more after the last job, which is not counted.
        began = ended = time.perf_counter()

        @worker.entrypoint("fallback")
        async def fallback(job: Job) -> None:
            assert job.payload
            await pool.execute(f"select {handler}($1)", job.payload.decode())
            nonlocal ended
            ended = time.perf_counter()

        await worker.run(
            dequeue_timeout=timedelta(seconds=1), batch_size=BATCH, mode=QueueExecutionMode.drain
        )
        print(ended - began)


dsn, handler = sys.argv[1:]
asyncio.run(install(dsn) if handler == "install" else work(dsn, handler))
