"""What bounds a line of the table whatever our code does: its figure stands in place of a miss.

Either the instructions of two statements without rules and log, one of which does the least that
ours must: it is called by name through our function, or writes what the other need not; or another
line, of that least.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import is_met

# As `make profile` counted them.
INSTRUCTIONS = Path(__file__).parent / "instructions.json"
LEAST_NOTICE = "notice of one narrow row, commit to arrival, idle, p50"


@dataclass(frozen=True)
class Limit:
    lines: str
    # A line of the table, or two of the profile.
    line: str = ""
    bare: str = ""
    least: str = ""


# Where the disk is slow, its time hides these instructions: "flush".
LIMITS = (
    Limit("notice, commit to arrival, idle, p50", line=LEAST_NOTICE),
    Limit(
        r"accept, \d+ connections, notice included(, at the least)?",
        bare="bare UPDATE by id",
        least="an accept without guard and log",
    ),
    Limit(
        r"intake, \d+ connections, beside INSERTs of row, log and ledger",
        bare="INSERT of the row, a narrow log row and a narrow ledger row",
        least="a booking without routing and log",
    ),
    # Where everyone is told, no step goes and no mechanic is locked.
    Limit(
        r"sweep of [\d,]+ windows that pass to the next favourite",
        bare="one UPDATE of due windows, for each",
        least="one UPDATE of due windows, their steps' DELETE and mechanics' lock, for each",
    ),
)


def bound(line: dict[str, Any], others: Iterable[dict[str, Any]]) -> float | None:
    """The most (of "<=" the least) that can be measured; None: its goal is met, or can be."""
    if line["met"]:
        return None
    for limit in LIMITS:
        if not re.fullmatch(limit.lines, line["name"]):
            continue
        if limit.line:
            found = [other["value"] for other in others if other["name"] == limit.line]
        else:
            costs = json.loads(INSTRUCTIONS.read_text())
            found = [costs[limit.bare] / costs[limit.least]]
        return next((value for value in found if not is_met(line["goal"], value)), None)
    return None
