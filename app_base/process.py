"""An app as a process: its log, its start, and how it says that it cannot."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from .settings import ConfigError

# The exit status of a wrong environment. gunicorn knows by it that a worker cannot start: it stops,
# instead of starting another for ever.
CANNOT_START = 3

Config = TypeVar("Config")


class _AsLine(logging.Formatter):
    """What a library says, as a line like the app's own."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(record.name, error=record.getMessage().partition("\n")[0])


def log_to_output(app: str) -> None:
    own, pool = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stdout)
    # Of connections that fail the pool alone knows why.
    pool.setFormatter(_AsLine())
    for name, handler, level in ((app, own, logging.INFO), ("psycopg", pool, logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False


def log(app: str, what: str, **fields: object) -> None:
    logging.getLogger(app).info(_line(what, **fields))


def _line(what: str, **fields: object) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": at, "what": what, **fields})


def run(
    app: str,
    from_environ: Callable[[Mapping[str, str]], Config],
    serve: Callable[[Config], Coroutine[Any, Any, None]],
) -> int:
    """Serve until it ends; the exit status."""
    log_to_output(app)
    try:
        asyncio.run(serve(from_environ(os.environ)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return CANNOT_START
    return 0
