"""`python -m hub_app` serves until SIGTERM."""

import sys

from app_base.process import run

from .config import Config
from .server import serve


def main(arguments: list[str]) -> int:
    if arguments:
        print("Usage: python -m hub_app", file=sys.stderr)
        return 2
    return run("hub_app", Config.from_environ, serve)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
