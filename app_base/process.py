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


def log_to_output(app: str) -> None:
    logger = logging.getLogger(app)
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def log(app: str, what: str, **fields: object) -> None:
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "what": what, **fields}
    logging.getLogger(app).info(json.dumps(line))


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
