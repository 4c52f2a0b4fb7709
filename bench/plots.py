"""The plots in `docs/`, drawn from `bench/results.json`: `docs/bench-*.svg`.

Their background is transparent and their text a grey that reads on white and on black.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.measure import NO_GOAL
from bench.report import Line, Report, amount, goal
from stack import ROOT

DOCS = ROOT / "docs"
GREY, MET, MISSED, OURS = "#7a7f87", "#2f9e63", "#d9662b", "#3b82d6"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",  # the same results, the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY
    ),
}


def draw(report: Report, directory: Path = DOCS) -> None:
    """Draw what there are results for; the rest is left as it is."""
    with mpl.rc_context(STYLE):
        with_goals = [line for line in report.results if line["goal"] != NO_GOAL]
        if with_goals:
            draw_goals(with_goals, directory / "bench-goals.svg")
        growth = [line for line in report.curves if line["subject"] != "soak"]
        if growth:
            draw_curves(growth, directory / "bench-growth.svg", scale="log")
        soak = [line for line in report.curves if line["subject"] == "soak"]
        if soak:
            draw_curves(soak, directory / "bench-soak.svg", scale="linear")


def draw_goals(lines: list[Line], path: Path) -> None:
    """How many times its goal each line is; to the right of 1 it is met."""
    figure, axes = plt.subplots(figsize=(9, 0.26 * len(lines) + 1))
    for row, line in enumerate(lines):
        times = times_goal(line)
        axes.barh(row, times - 1, left=1, color=MET if line["met"] else MISSED, height=0.6)
        axes.annotate(
            amount(line),
            (max(times, 1), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [f"{each['name']}  ({goal(each)})" for each in lines])
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.set_xlabel("times as good as its goal: right of the line is met, left of it missed")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    save(figure, path)


def times_goal(line: Line) -> float:
    relation, bound = line["goal"].split()
    if relation == "=":
        return 1.0
    value, goal = float(line["value"]) or 1e-9, float(bound)
    times = value / goal if relation == ">=" else goal / value
    # Beyond, a bar would only push the others together.
    return min(max(times, 1 / 30), 30)


def draw_curves(curves: list[Line], path: Path, scale: str) -> None:
    """A small plot for each curve, three in a row."""
    rows = -(-len(curves) // 3)
    figure, grid = plt.subplots(rows, 3, figsize=(9, 2.6 * rows), squeeze=False)
    for axes, curve in zip(grid.flat, curves, strict=False):
        xs, ys = zip(*curve["points"], strict=True)
        axes.plot(xs, ys, color=OURS, marker="o" if scale == "log" else "", markersize=4)
        # A logarithm has no place for "no listeners".
        axes.set_xscale(scale if min(xs) > 0 else "linear")
        axes.set_ylim(bottom=0, top=max(ys) * 1.2 or 1)
        axes.set_title(curve["name"], fontsize=9, color=GREY)
        axes.set_xlabel(curve["x"])
        axes.set_ylabel(curve["y"])
    for axes in list(grid.flat)[len(curves) :]:
        axes.set_axis_off()
    figure.tight_layout()
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
