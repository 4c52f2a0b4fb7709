"""The benchmarks themselves: each subject yields its lines, on very little data, in no time.

How fast anything is, a busy machine decides; that is for `make bench`.
"""

import json
import re
from pathlib import Path

import pytest

from bench.database import Database
from bench.limits import INSTRUCTIONS, LEAST_NOTICE, LIMITS
from bench.measure import Curve, Result, Size
from bench.report import RESULTS, Report
from bench.subjects import SUBJECTS
from stack.postgres import Cluster
from tests.database import fresh_database
from tests.further import further_but

QUICK = Size(rounds=1, seconds=0, divisor=1000, duration=2)
# How many lines each subject has, how many of them with a goal, and how many curves.
LINES = {
    "felt": (18, 0, 0),
    "intake": (9, 9, 1),
    "webhook": (3, 1, 0),
    "accept": (7, 6, 0),
    "notices": (6, 2, 0),
    "lateness": (6, 3, 0),
    "sweep": (2, 2, 0),
    "recipients": (2, 2, 1),
    "presence": (2, 1, 0),
    "push": (6, 3, 0),
    "hub": (13, 4, 0),
    "growth": (6, 5, 4),
    "soak": (5, 5, 3),
}


def test_all_but_the_peers_are_tried() -> None:
    """Those are installed for `make bench` alone."""
    assert LINES.keys() == SUBJECTS.keys() - {"peers"}


@pytest.mark.parametrize(
    "subject",
    further_but(["intake"], LINES.keys()),
)
def test_subject(subject: str, cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    report = Report(results=[{"subject": "another"}, {"subject": subject, "name": "older"}])
    with fresh_database(cluster) as fresh:
        db = Database(cluster, QUICK, fresh.name)
        report.replace(subject, SUBJECTS[subject](db))
        report.settings = db.settings()
        db.close()
    report.write(path)

    written = json.loads(path.read_text())
    assert written["settings"]["fsync"] == "off"
    other, *lines = written["results"]
    assert other == {"subject": "another"}
    for line in lines:
        assert line.keys() == {
            "subject", "name", "value", "unit", "goal", "met", "baseline", "spread"
        }  # fmt: skip
        assert line["subject"] == subject and line["value"] >= 0 and line["name"] != "older"
    with_goals = [line for line in lines if line["goal"] != "-"]
    assert (len(lines), len(with_goals), len(written["curves"])) == LINES[subject]


def test_what_bounds_a_line_stands_in_place_of_a_miss() -> None:
    name = "notice, commit to arrival, idle, p50"
    report = Report()
    report.replace("a", [Result(name, 3, "ratio", "<= 2"), Result(LEAST_NOTICE, 2.5, "ratio")])
    assert report.table().splitlines()[0] == f"limit: at least 2.50 {name}: 3, goal ≤ 2"
    assert report.has_met(["a"])
    # It could be met: it is missed.
    report.replace("a", [Result(name, 3, "ratio", "<= 2"), Result(LEAST_NOTICE, 1.5, "ratio")])
    assert report.table().startswith("MISSED") and not report.has_met(["a"])


def test_each_limit_is_of_a_line_that_there_is() -> None:
    names = [line["name"] for line in Report.read(RESULTS).results]
    costs = json.loads(INSTRUCTIONS.read_text())
    for limit in LIMITS:
        assert any(re.fullmatch(limit.lines, name) for name in names), limit
        assert {limit.line, limit.bare, limit.least} <= {*names, *costs, ""}, limit


def test_report(tmp_path: Path) -> None:
    page, path = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("before\n<!-- results -->\nolder\n<!-- end of results -->\nafter\n")
    report = Report(settings={"fsync": "on"})
    report.replace("b", [Result("slow", 12.345, "ms", "<= 10", spread=(1, 2000))])
    lines = [Result("fast", 3, "ratio", ">= 2", "bare"), Result("size", 7, "MB")]
    for _ in range(2):
        report.replace("a", [*lines, Curve("cost", "rows", "ms", [(1, 2)])])
    report.sort(["a", "b"])
    report.write(path)
    assert Report.read(path).markdown() == report.markdown()
    assert report.has_met(["a"]) and not report.has_met(["a", "b"])
    assert report.table().splitlines() == [
        "met    fast: 3, goal ≥ 2; bare",
        "       size: 7 MB",
        "MISSED slow: 12.35 ms (1 to 2,000), goal ≤ 10",
    ]
    for _ in range(2):
        report.write_page(page)
    assert page.read_text().splitlines() == [
        "before",
        "<!-- results -->",
        "",
        "| | goal | measured | lowest to highest round | beside | |",
        "|---|---|---|---|---|---|",
        "| fast | ≥ 2 | 3 |  | bare | met |",
        "| size |  | 7 MB |  |  |  |",
        "| slow | ≤ 10 | 12.35 ms | 1 to 2,000 |  | **missed** |",
        "",
        "`fsync` on.",
        "",
        "<!-- end of results -->",
        "after",
    ]
