"""`python -m hub_app` serves until SIGTERM."""

import asyncio
import logging
import os
import sys

from .config import Config, ConfigError
from .server import serve


def main(arguments: list[str]) -> int:
    if arguments:
        print("Usage: python -m hub_app", file=sys.stderr)
        return 2
    logger = logging.getLogger("hub_app")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        config = Config.from_environ(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 3
    asyncio.run(serve(config))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
