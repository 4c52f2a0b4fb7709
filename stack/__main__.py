"""The commands: python -m stack up|down|clean|status|demo|adopt|leave"""

import sys

from stack import adopt, supervisor


def demo() -> int:
    from stack.demo import main  # the other commands do without what it imports

    return main()


COMMANDS = {
    "up": supervisor.up,
    "down": supervisor.down,
    "clean": supervisor.clean,
    "status": supervisor.status,
    "demo": demo,
    "adopt": adopt.adopt,
    "leave": adopt.leave,
}


def main() -> int:
    command = COMMANDS.get(" ".join(sys.argv[1:]))
    if command is None:
        print(__doc__, file=sys.stderr)
        return 2
    return command()


if __name__ == "__main__":
    sys.exit(main())
