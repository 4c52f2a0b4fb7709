"""The app's one database call, over a pool that outlives restarts of the server."""

import atexit
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from .config import Config

PING_TIMEOUT = 2


class Database:
    def __init__(self, config: Config) -> None:
        self._timeout = config.db_timeout
        self._pool = ConnectionPool(
            config.database_url,
            kwargs={
                "autocommit": True,
                # A transaction-mode pooler gives each transaction another server connection.
                "prepare_threshold": None,
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
        result: dict[str, Any] = self._value(
            "select public.process_stripe_event(%s::jsonb)", (event,), self._timeout
        )
        return result

    def ping(self) -> None:
        self._value("select 1", (), PING_TIMEOUT)

    def _value(self, query: str, params: tuple[str, ...], timeout: int) -> Any:
        self._open()
        with self._pool.connection(timeout) as connection:
            try:
                return _run(connection, query, params, timeout)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        # The server restarted, so the pool's other connections are dead too. Once more on a new
        # one: safe even if the lost call was committed, because the function deduplicates.
        self._pool.drain()
        with self._pool.connection(timeout) as connection:
            return _run(connection, query, params, timeout)

    def _open(self) -> None:
        # At the first call, not at import: the pool's threads would not survive gunicorn's fork.
        if self._pool.closed:
            self._pool.open()
            atexit.register(self._pool.close)


def _run(connection: psycopg.Connection, query: str, params: tuple[str, ...], timeout: int) -> Any:
    # Only a `set local` stays ours: a plain SET would leak to others through a pooler, which also
    # refuses options sent at connect.
    with connection.transaction():
        connection.execute(f"set local statement_timeout = '{timeout}s'")
        row = connection.execute(query, params).fetchone()
    return row[0] if row else None
