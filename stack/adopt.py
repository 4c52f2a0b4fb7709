"""Take a marketplace's database on (`make adopt`), and off again (`make leave`).

Each step is a line for the shell that a DBA can run alone, printed before it is run.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stack import ROOT

PSQL = 'psql "$DATABASE_URL" -X -q -v ON_ERROR_STOP=1'
BINDING = Path(".local/binding.sql")
BINDING_BEFORE = Path(".local/binding.before.sql")
LEFT = ".local/left-%Y%m%d-%H%M%S"
CONFIRMED = '-c "set favorites_priority.confirm_down = yes"'
REFUSED = 3  # psql's exit status when a script fails

DISCOVER = f"{PSQL} -f sql/discover.sql > {{binding}}"
UP = {
    "engine": f"{PSQL} {{binding}}-f sql/engine/up.sql",
    "feature": f"{PSQL} -f sql/favorites_priority/up.sql",
}
VERIFY = f"{PSQL} -f sql/favorites_priority/verify.sql"
DOWN = {
    "feature": f"{PSQL} {{confirmed}}-f sql/favorites_priority/down.sql",
    "engine": f"{PSQL} {{confirmed}}-f sql/engine/down.sql",
}
SAVE = f"""{PSQL} -c "\\copy {{what}} to '{{file}}' csv header\""""
# What the feature's down.sql takes along, and what the engine's does.
COLUMNS = (
    "(select id, preferred_mechanic_id, priority_window_minutes, priority_notified_at"
    " from public.session_requests where preferred_mechanic_id is not null"
    " or priority_window_minutes is not null or priority_notified_at is not null order by id)"
)
LOGS = {
    "request_events": "(select * from dispatch.request_events order by id)",
    "stripe_events": "(select * from dispatch.stripe_events order by received_at, id)",
}

# What there is of ours: nothing, the engine, or the feature on it with its flag off or on.
STATE = """
    select case
        when to_regprocedure('dispatch.governs_all()') is null then 'nothing'
        when to_regprocedure('dispatch.set_favorites_priority(boolean)') is null then 'engine'
        else 'feature'
    end
"""
FLAG = "select dispatch.favorites_priority_enabled()"


class GivenUp(Exception):
    """The text says why; `status` is the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def step(command: str) -> tuple[int, str]:
    """Print a line for the shell and run it; its exit status, and what it wrote to stderr.

    All of that is shown but the notices that something is there already.
    """
    print(f"\n$ {command}", flush=True)
    written = []
    with subprocess.Popen(  # noqa: S602  (as a DBA would run it)
        command,
        shell=True,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr or ():
            written.append(line)
            if ": NOTICE:  " not in line:
                print(line, end="", file=sys.stderr, flush=True)
    return process.returncode, "".join(written)


def must(command: str, otherwise: str) -> None:
    status, _ = step(command)
    if status != 0:
        raise GivenUp(otherwise, status)


def ask_database(query: str) -> str:
    """The only value of a query."""
    command = ["psql", os.environ["DATABASE_URL"], "-X", "-q", "-A", "-t", "-c", query]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise GivenUp(result.stderr.strip() or f"psql ended with {result.returncode}.")
    return result.stdout.strip()


def may_go_on(question: str) -> bool:
    """Whether YES=1 or a person says so; without either it says how."""
    if os.environ.get("YES"):
        return True
    if not sys.stdin.isatty():
        raise GivenUp(f"{question}\nThere is no terminal to answer at: say it with YES=1.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def state() -> str:
    if not os.environ.get("DATABASE_URL"):
        raise GivenUp(
            "Set DATABASE_URL to the marketplace's database, as the role that owns its tables."
        )
    if shutil.which("psql") is None:
        raise GivenUp("psql is missing; it comes with PostgreSQL's client (make setup).")
    return ask_database(STATE)


def found_binding() -> Path:
    """Have discover.sql write the binding, and show it."""
    (ROOT / BINDING).parent.mkdir(exist_ok=True)
    if (ROOT / BINDING).exists():  # somebody may have worked on it
        (ROOT / BINDING).replace(ROOT / BINDING_BEFORE)
        print(f"The last binding is kept as {BINDING_BEFORE}.")
    status, _ = step(DISCOVER.format(binding=BINDING))
    if status != 0:
        (ROOT / BINDING).unlink()
        raise GivenUp("Nothing was changed.", status)
    print((ROOT / BINDING).read_text())
    return BINDING


def adopted() -> int:
    found = state()
    given = os.environ.get("BINDING")
    binding = ""
    if given:
        if not (ROOT / given).is_file():
            raise GivenUp(f"BINDING={given}: there is no such file.")
        print(f"The binding is {given}.")
        binding = f"-v binding={shlex.quote(given)} "
        question = "Install with this binding?"
    elif found == "nothing":
        file = found_binding()
        binding = f"-v binding={file} "
        question = f"Install with this binding ({file})?"
    else:
        print("The engine is installed; its binding stays as it is (BINDING=… gives another).")
        question = "Install again?"
    if not may_go_on(question):
        print("Nothing was changed.")
        if binding and not given:
            print(f"Change what is not so in {BINDING}; then: make adopt BINDING={BINDING}")
        return 1

    again = "What is above says why. Once that is mended, run it again, or `make leave`."
    must(UP["engine"].format(binding=binding), again)
    must(UP["feature"], again)
    must(VERIFY, "It is installed, but a check has failed: the table above says what to do.")
    if ask_database(FLAG) == "t":
        print("Installed. The flag is on, as it was.")
    else:
        print("Installed. The flag is off: until it is turned on, nothing changes for anybody.")
    for name, value in (("On", "true"), ("Off", "false")):
        call = f"select dispatch.set_favorites_priority({value})"
        print(f'  {name + ":":5} psql "$DATABASE_URL" -X -c "{call}"')
    print("  All of it off the database again: make leave")
    return 0


def save(directory: Path, name: str, what: str) -> None:
    (ROOT / directory).mkdir(parents=True, exist_ok=True, mode=0o700)  # customers' addresses
    file = directory / f"{name}.csv"
    must(SAVE.format(what=what, file=file), "It could not be saved; nothing more was taken off.")


def take_off(command: str) -> None:
    """Run a down.sql; what it would lose is for a person to give up."""
    status, written = step(command.format(confirmed=""))
    if status == REFUSED and "confirm_down" in written:
        if not may_go_on("Go on, and lose that?"):
            raise GivenUp("It stays.")
        status, _ = step(command.format(confirmed=f"{CONFIRMED} "))
    if status != 0:
        raise GivenUp("It was not taken off; what is above says why.", status)


def left() -> int:
    found = state()
    if found == "nothing":
        print("Nothing of ours is installed there.")
        return 0
    directory = Path(time.strftime(LEFT))
    # The windows that are open now are broadcast, and the log has that too; so it is saved last.
    if found == "feature":
        save(directory, "session_requests", COLUMNS)
        take_off(DOWN["feature"])
    for name, what in LOGS.items():
        save(directory, name, what)
    take_off(DOWN["engine"])
    print(f"\nTaken off; the marketplace stays as it was. What was logged is in {directory}/.")
    return 0


def adopt() -> int:
    return told(adopted)


def leave() -> int:
    return told(left)


def told(command: Callable[[], int]) -> int:
    """Run it; whatever stops it is said in words."""
    try:
        return command()
    except GivenUp as reason:
        print(reason, file=sys.stderr)
        return reason.status
    except (KeyboardInterrupt, EOFError):
        with suppress(OSError):
            print("\nInterrupted. Run it again: what was done is not done twice.", file=sys.stderr)
        return 130
