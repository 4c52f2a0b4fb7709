"""What a measurement yields, how long it takes, and the load that it puts on a database."""

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stack.postgres import binary

SQL = Path(__file__).parent / "sql"
NO_GOAL = "-"


@dataclass(frozen=True)
class Size:
    """How long each round takes and how much is in the tables; the tests take very little."""

    rounds: int = 5
    seconds: float = 3
    divisor: int = 1
    # The soak's, in seconds.
    duration: float = 600

    def of(self, count: int) -> int:
        """So many rows, connections or samples."""
        return max(count // self.divisor, 4)


def is_met(goal: str, value: float) -> bool:
    relation, bound = goal.split()
    meets = {">=": float.__ge__, "<=": float.__le__, "=": float.__eq__}[relation]
    return bool(meets(float(value), float(bound)))


@dataclass
class Result:
    """One line of the table; `spread` is the lowest and the highest of the rounds."""

    name: str
    value: float
    unit: str
    goal: str = NO_GOAL
    met: bool = field(init=False)
    baseline: str = NO_GOAL
    spread: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.met = self.goal == NO_GOAL or is_met(self.goal, self.value)


@dataclass
class Curve:
    """How `y` changes with `x`, for the plots."""

    name: str
    x: str
    y: str
    points: list[tuple[float, float]]


Subject = Iterator[Result | Curve]


def say(text: str) -> None:
    """Progress; the results themselves go to standard output."""
    print(f"  {text}", file=sys.stderr, flush=True)


def rounds(size: Size, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each side does a second, round by round, so that a busy machine slows them alike."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(size.rounds):
        for name, side in sides.items():
            rates[name].append(side())
            say(f"{name}: {rates[name][-1]:,.0f} per second")
    return rates


def ratio(
    name: str,
    goal: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    baseline: str,
    amount: str = "{:,.0f} per second",
) -> Result:
    """The median of the rounds' ratios; beside the baseline's name stands its own median."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Result(
        name,
        statistics.median(ratios),
        "ratio",
        goal,
        f"{baseline}, {amount.format(statistics.median(theirs))}",
        (min(ratios), max(ratios)),
    )


def median(
    name: str, goal: str, values: Sequence[float], unit: str, baseline: str = NO_GOAL
) -> Result:
    return Result(name, statistics.median(values), unit, goal, baseline, (min(values), max(values)))


def percentile(
    name: str, goal: str, percent: int, groups: Sequence[Sequence[float]], unit: str
) -> Result:
    """That percentile of all the values; its spread is over the groups."""

    def of(values: Sequence[float]) -> float:
        return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

    each = [of(group) for group in groups]
    together = [value for group in groups for value in group]
    return Result(name, of(together), unit, goal, NO_GOAL, (min(each), max(each)))


def processor_seconds(pid: int) -> float:
    """What this process has had of the processors since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def pgbench(
    dsn: str,
    script: str,
    size: Size,
    *,
    clients: int = 8,
    options: str = "",
    replace: tuple[str, str] = ("", ""),
    **variables: object,
) -> float:
    """Transactions a second of a script in `bench/sql/`."""
    # pgbench counts in whole seconds.
    length = ["-T", str(int(size.seconds))] if size.seconds >= 1 else ["-t", "10"]
    process = subprocess.run(
        [*_command("-", clients, variables), *length, dsn],
        input=(SQL / script).read_text().replace(*replace),
        env=os.environ | {"PGOPTIONS": options},
        capture_output=True,
        text=True,
    )
    match = re.search(r"tps = ([0-9.]+)", process.stdout)
    if process.returncode or match is None or "failed transactions: 0 " not in process.stdout:
        raise RuntimeError(f"pgbench {script} failed:\n{process.stdout}{process.stderr}")
    return float(match[1])


@contextmanager
def load(
    dsn: str,
    script: str,
    *,
    clients: int = 8,
    options: str = "",
    rate: int | None = None,
    log: str | None = None,
    seconds: int | None = None,
) -> Iterator[None]:
    """The script runs again and again inside the context, so often a second if `rate` says.

    With `seconds` the context ends when they are over: pgbench writes its log only then.
    """
    command = [*_command(str(SQL / script), clients, {}), "-T", str(seconds or 36_000)]
    command += ["-R", str(rate)] if rate else []
    command += ["-l", f"--log-prefix={log}"] if log else []
    process = subprocess.Popen(
        [*command, dsn],
        env=os.environ | {"PGOPTIONS": options},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield
        if seconds:
            process.wait()
        if process.poll() is not None and (process.returncode or not seconds):
            assert process.stderr
            raise RuntimeError(f"pgbench {script} ended early:\n{process.stderr.read()}")
    finally:
        process.terminate()
        process.communicate()


def _command(path: str, clients: int, variables: Mapping[str, object]) -> list[str]:
    given = [f"-D{name}={value}" for name, value in variables.items()]
    threads = str(min(clients, 2))
    return [binary("pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", threads, *given,
            "-f", path]  # fmt: skip
