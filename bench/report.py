"""What was measured, as `bench/results.json`, on the terminal and in `docs/performance.md`."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.limits import bound
from bench.measure import NO_GOAL, Curve, Result, say
from stack import ROOT

RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs/performance.md"

Line = dict[str, Any]


@dataclass
class Report:
    """Every line has its subject, so that a subject measured anew replaces its own lines alone."""

    settings: dict[str, str] = field(default_factory=dict)
    results: list[Line] = field(default_factory=list)
    curves: list[Line] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    def replace(self, subject: str, measured: Iterable[Result | Curve]) -> None:
        results: list[Line] = []
        curves: list[Line] = []
        for each in measured:
            line = {"subject": subject, **asdict(each)}
            if isinstance(each, Curve):
                curves.append(line)
            else:
                say(in_words(line, bound(line, results)))
                results.append(line)
        self.results = [line for line in self.results if line["subject"] != subject] + results
        self.curves = [line for line in self.curves if line["subject"] != subject] + curves

    def sort(self, subjects: Sequence[str]) -> None:
        for lines in (self.results, self.curves):
            lines.sort(key=lambda line: subjects.index(line["subject"]))

    def has_met(self, subjects: Sequence[str]) -> bool:
        """Or come as far as can be (`bench/limits.py`)."""
        lines = [line for line in self.results if line["subject"] in subjects]
        return all(line["met"] or self._bound(line) is not None for line in lines)

    def table(self) -> str:
        return "\n".join(in_words(line, self._bound(line)) for line in self.results)

    def _bound(self, line: Line) -> float | None:
        return bound(line, self.results)

    def markdown(self) -> str:
        rows = [
            "| | goal | measured | lowest to highest round | beside | |",
            "|---|---|---|---|---|---|",
        ]
        for line in self.results:
            low_to_high = " to ".join(map(number, line["spread"])) if line["spread"] else ""
            cells = (
                line["name"],
                goal(line),
                amount(line),
                low_to_high,
                "" if line["baseline"] == NO_GOAL else line["baseline"],
                verdict(line, self._bound(line), missed="**missed**"),
            )
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join([*rows, "", self._settings()])

    def _settings(self) -> str:
        return ", ".join(f"`{name}` {value}" for name, value in self.settings.items()) + "."

    def write_page(self, page: Path = PAGE) -> None:
        """Put the table between the page's markers."""
        text, replaced = re.subn(
            r"(<!-- results -->\n).*(<!-- end of results -->)",
            lambda match: f"{match[1]}\n{self.markdown()}\n\n{match[2]}",
            page.read_text(),
            flags=re.DOTALL,
        )
        assert replaced == 1
        page.write_text(text)


def in_words(line: Line, limit: float | None) -> str:
    spread = f" ({' to '.join(map(number, line['spread']))})" if line["spread"] else ""
    aim = f", goal {goal(line)}" if goal(line) else ""
    beside = "" if line["baseline"] == NO_GOAL else f"; {line['baseline']}"
    return (
        f"{verdict(line, limit, missed='MISSED'):6} {line['name']}: "
        f"{amount(line)}{spread}{aim}{beside}"
    )


def verdict(line: Line, limit: float | None, *, missed: str) -> str:
    if line["goal"] == NO_GOAL:
        return ""
    if limit is not None:
        most = "at most" if line["goal"].startswith(">") else "at least"
        return f"limit: {most} {number(limit)}"
    return "met" if line["met"] else missed


def goal(line: Line) -> str:
    return "" if line["goal"] == NO_GOAL else line["goal"].replace(">=", "≥").replace("<=", "≤")


def amount(line: Line) -> str:
    return number(line["value"]) + ("" if line["unit"] == "ratio" else f" {line['unit']}")


def number(value: float) -> str:
    """Three figures at least, no more than two decimals."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}"
