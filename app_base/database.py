"""The connections of an app that waits for the database's notices."""

from typing import Any, Self

from psycopg_pool import AsyncConnectionPool


class Pooled:
    """A pool, open inside the context; `connect` is how a connection beside it is made."""

    def __init__(
        self, url: str, app: str, *, max_size: int, timeout: float, **options: object
    ) -> None:
        self._url = url
        self._connect: dict[str, Any] = {
            "autocommit": True,
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
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()
