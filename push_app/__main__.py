"""`python -m push_app` sends; `python -m push_app keys` prints a new key pair."""

import sys

from app_base.process import run

from .config import Config
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
    return run("push_app", Config.from_environ, serve)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
