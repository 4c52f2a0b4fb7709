"""Keeps the stack running in the background, and the commands that start and stop it."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from stack import ROOT
from stack.demo_people import add_demo_people, write_demo_people
from stack.services import Stack, tail, write_private

LOCAL = ROOT / ".local"
ENV = LOCAL / "env"  # there exactly while the stack is ready
PID = LOCAL / "supervisor.pid"  # locked exactly while its process lives
LOG = LOCAL / "supervisor.log"
PATIENCE = 120
PARTITIONS_EVERY = 6 * 3600
SHOWN = ("DATABASE_URL", "SUPABASE_URL", "WEBHOOK_URL", "DASHBOARD_URL")


def up() -> int:
    """Start the stack unless it runs already, and wait until all of it answers."""
    LOCAL.mkdir(exist_ok=True)
    if running():
        wait_until(lambda: ENV.exists() or not running())
        print("The stack is up already.")
        return show_urls()
    ENV.unlink(missing_ok=True)
    end_leftovers()
    with LOG.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stack.supervisor"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert supervisor.stdout is not None  # noqa: S101
    try:
        # It closes its output as soon as the stack is ready, or has failed.
        for line in supervisor.stdout:
            print(line, end="", flush=True)
    except KeyboardInterrupt:
        supervisor.terminate()
    if ENV.exists():
        return show_urls()
    supervisor.wait()
    print(tail(LOG), file=sys.stderr)
    print("The stack did not start; `make clean` deletes data of an older one.", file=sys.stderr)
    return 1


def down() -> int:
    """Stop the stack; its data stays."""
    if running():
        os.kill(supervisor_pid(), signal.SIGTERM)
        if not wait_until(lambda: not running()):
            print(f"The stack does not stop; see {LOG}", file=sys.stderr)
            return 1
        print("The stack is down.")
    elif leftovers():
        end_leftovers()
        print("Ended what was left of the stack.")
    else:
        print("The stack was not running.")
    ENV.unlink(missing_ok=True)
    return 0


def clean() -> int:
    """Stop the stack and delete its data."""
    if (failed := down()) or not LOCAL.exists():
        return failed
    # The data may live elsewhere, behind a link.
    shutil.rmtree((LOCAL / "postgres").resolve(), ignore_errors=True)
    for path in LOCAL.iterdir():
        if path.name.startswith(("binding.", "left-")):  # of `make adopt` and `make leave`
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not any(LOCAL.iterdir()):
        LOCAL.rmdir()
    return 0


def status() -> int:
    """Say whether the stack is up, and where."""
    if running() and ENV.exists():
        print(f"The stack is up, process {supervisor_pid()}.")
        return show_urls()
    print("The stack is down.")
    return 1


def show_urls() -> int:
    lines = ENV.read_text().splitlines() if ENV.exists() else []
    for line in lines:
        name, _, value = line.partition("=")
        if name in SHOWN:
            print(f"  {name:14}{value}")
    if lines:
        print(f"  All settings, keys included: {ENV.relative_to(ROOT)}")
    return 0 if lines else 1


def running() -> bool:
    """Whether a supervisor lives: its lock ends with it, however it ends."""
    if not PID.exists():
        return False
    with PID.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def supervisor_pid() -> int:
    return int(PID.read_text())


def end_leftovers() -> None:
    """End what a killed supervisor left running."""
    for number in (signal.SIGINT, signal.SIGKILL):
        for pid in leftovers():
            os.kill(pid, number)
        if wait_until(lambda: not leftovers(), seconds=10):
            return


def leftovers() -> list[int]:
    """The processes of the last supervisor's session that work in the stack's directories."""
    if not PID.exists() or not PID.read_text():
        return []
    session = supervisor_pid()
    homes = [LOCAL.resolve(), (LOCAL / "postgres").resolve()]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # After the name in brackets: state, parent, group, session.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            where = (process / "cwd").readlink()
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if int(fields[3]) == session and any(where.is_relative_to(home) for home in homes):
            found.append(int(process.name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def supervise() -> int:
    """Own the stack until SIGTERM."""
    with PID.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

        stopping = threading.Event()

        def stop(*_: object) -> None:
            # While starting, this ends the start; later the loop below sees the event.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            stopping.set()
            if not ENV.exists():
                raise SystemExit(1)

        signal.signal(signal.SIGTERM, stop)
        report = lambda text: print(text, flush=True)  # noqa: E731
        with Stack(LOCAL, fsync=True, fixed_ports=True, complete=True, report=report) as stack:
            add_demo_people(stack.env)
            write_demo_people(stack.env, LOCAL / "people.json")
            write_private(ENV, "".join(f"{k}={v}\n" for k, v in stack.env.items()))
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            partitions_due = time.monotonic() + PARTITIONS_EVERY
            while not stopping.wait(0.5):
                stack.tend()
                if stack.cluster and time.monotonic() > partitions_due:
                    stack.cluster.make_partitions()
                    partitions_due += PARTITIONS_EVERY
            ENV.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(supervise())
    except RuntimeError as error:  # a part did not start; the text says all there is to say
        sys.exit(str(error))
