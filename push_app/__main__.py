"""`python -m push_app` sends; `python -m push_app keys` prints a new key pair."""

import asyncio
import logging
import os
import sys

from .config import Config, ConfigError
from .keys import new_keys
from .sender import serve


def main(arguments: list[str]) -> int:
    if arguments == ["keys"]:
        public, private = new_keys()
        print(f"VAPID_PUBLIC_KEY={public}\nVAPID_PRIVATE_KEY={private}")
        return 0
    if arguments:
        print("Usage: python -m push_app [keys]", file=sys.stderr)
        return 2
    logger = logging.getLogger("push_app")
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
