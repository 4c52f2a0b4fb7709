"""The benchmarks themselves: each subject yields its lines, on very little data, in no time.

How fast anything is, a busy machine decides; that is for `make bench`.
"""

import json
from pathlib import Path

import pytest

from bench.__main__ import SUBJECTS
from bench.database import Database
from bench.measure import Size
from bench.report import Report
from stack.postgres import Cluster
from tests.database import fresh_database

QUICK = Size(rounds=1, seconds=0, divisor=1000, duration=2)
# How many lines each subject has, how many of them with a goal, and how many curves.
LINES = {
    "intake": (8, 8, 1),
    "webhook": (3, 1, 0),
    "accept": (6, 6, 0),
    "notices": (4, 2, 0),
    "lateness": (6, 3, 0),
    "sweep": (1, 1, 0),
    "recipients": (2, 2, 1),
    "presence": (2, 1, 0),
    "growth": (6, 5, 4),
    "soak": (5, 5, 3),
}


@pytest.mark.parametrize("subject", LINES)
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
