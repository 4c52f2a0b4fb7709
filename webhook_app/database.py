"""The app's one database call, over a pool that outlives restarts of the server."""

import atexit
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg_pool import ConnectionPool

from app_base.database import WRITE_AGAIN

from .config import Config

PING_TIMEOUT = 2
# The server ends a statement at its timeout. A pooler that has lost its own server, or waits for
# one, may never say so.
GRACE = 3

Connection = psycopg.Connection[Any]
# Asked of a connection, to be answered in so many seconds.
Question = Callable[[Connection, int], bytes]


class Database:
    def __init__(self, config: Config) -> None:
        self._timeout = config.db_timeout
        self._pool = ConnectionPool(
            config.database_url,
            kwargs={
                "autocommit": True,
                # The event is sent as it came.
                "client_encoding": "utf8",
                "connect_timeout": config.db_timeout,
                # A server that vanishes without a word must not hold a thread for ever.
                "keepalives_idle": config.db_timeout,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": config.db_timeout * 1000,
                "fallback_application_name": "webhook_app",
            },
            min_size=1,
            max_size=config.pool_size,
            timeout=config.db_timeout,
            # The pool's retries back off without a limit of their own. Given up soon, the next
            # event connects afresh, so a long outage is not followed by a long wait.
            reconnect_timeout=config.db_timeout,
            open=False,
        )

    def process_event(self, event: str) -> dict[str, Any]:
        """Hand over one event. What comes back is committed."""
        query = b"select public.process_stripe_event($1::jsonb)"
        answer = self._ask(partial(_run, query, [event.encode()]), self._timeout)
        result: dict[str, Any] = json.loads(answer)
        return result

    def ping(self) -> None:
        """Raise what an event would meet, be it a server that only reads. (It writes nothing: of a
        full disk the first event alone knows.)"""
        self._ask(_ping, PING_TIMEOUT)

    def close(self) -> None:
        self._pool.close()

    def _ask(self, question: Question, timeout: int) -> bytes:
        self._open()
        with self._pool.connection(timeout) as connection:
            try:
                return question(connection, timeout)
            except psycopg.errors.ReadOnlySqlTransaction:
                with suppress(psycopg.Error):
                    _run(WRITE_AGAIN.encode(), [], connection, PING_TIMEOUT)
                    return question(connection, timeout)
                connection.close()
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        # The server restarted, so the pool's other connections are dead too. Once more on a new
        # one: safe even if the lost call was committed, because the function deduplicates.
        self._pool.drain()
        with self._pool.connection(timeout) as connection:
            return question(connection, timeout)

    def _open(self) -> None:
        # At the first call, not at import: the pool's threads would not survive gunicorn's fork.
        if self._pool.closed:
            self._pool.open()
            atexit.register(self.close)


def _ping(connection: Connection, timeout: int) -> bytes:
    answer = _run(b"show transaction_read_only", [], connection, timeout)
    if answer != b"off":
        raise psycopg.errors.ReadOnlySqlTransaction
    return answer


def _run(query: bytes, params: list[bytes], connection: Connection, timeout: int) -> bytes:
    """The query's one value, as text. The timeouts and the query are one transaction.

    Both are sent at once, and libpq's pipeline makes what is sent at once a transaction: it ends
    without another word from here, so no lock waits for a slow or dead worker. One round trip
    where BEGIN, SET, SELECT and COMMIT are four, at a quarter of their price in this process;
    psycopg's own pipeline, made for longer batches, was at four fifths.
    """
    server = connection.pgconn
    server.enter_pipeline_mode()
    # Only a local setting stays ours: a plain SET would leak to others through a pooler, which
    # also refuses options sent at connect. And SET LOCAL warns when there was no BEGIN.
    # A lock is given up first: that passes, and what else takes so long may not.
    server.send_query_params(
        b"select pg_catalog.set_config('statement_timeout', $1, true),"
        b" pg_catalog.set_config('lock_timeout', $2, true)",
        [b"%ds" % timeout, b"%dms" % (timeout * 800)],
    )
    # A parameter, not a literal: PostgreSQL logs the text of a statement that fails.
    server.send_query_params(query, params)
    server.pipeline_sync()
    try:
        results = connection.wait(_results(server), timeout=timeout + GRACE)
    finally:
        # No answer in time (or the interpreter's end): what comes of it is nobody's.
        if server.transaction_status == TransactionStatus.ACTIVE:
            connection.close()
    if server.status == ConnStatus.OK:
        server.exit_pipeline_mode()
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
    # Three, no fewer: the last says that it is committed.
    _, answer, _ = results
    return bytes(answer.get_value(0, 0) or b"")


def _results(server: PGconn) -> PQGen[list[PGresult]]:
    """Everything up to the transaction's end, the error of a commit that fails included."""
    results: list[PGresult] = yield from generators.execute(server)
    while server.status == ConnStatus.OK and results[-1].status != ExecStatus.PIPELINE_SYNC:
        results += yield from generators.fetch_many(server)
    return results
