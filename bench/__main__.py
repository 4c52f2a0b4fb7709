"""Run the benchmarks, one subject after another; exit 1 if a goal is missed. See `make bench`."""

import argparse
import os
import sys

from bench.database import own_cluster
from bench.measure import Size, say
from bench.plots import draw
from bench.report import RESULTS, Report
from bench.subjects import LONG, SUBJECTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, help="these subjects alone")
    parser.add_argument("--duration", type=float, default=Size.duration, help="of the soak, in s")
    options = parser.parse_args()
    subjects = options.only or [each for each in SUBJECTS if each != LONG]
    size = Size(duration=options.duration)
    report = Report.read(RESULTS)
    for subject in subjects:
        say(f"== {subject}")
        with own_cluster(size) as db:
            report.replace(subject, SUBJECTS[subject](db))
            report.settings = db.settings() | {
                "processors": str(os.cpu_count()),
                "rounds": f"{size.rounds} of {size.seconds} seconds",
            }
        report.sort([*SUBJECTS])
        # After each, so that ONLY= can go on with a run that was broken off.
        report.write(RESULTS)
        report.write_page()
        draw(report)
    print(report.table())
    return 0 if report.has_met(subjects) else 1


if __name__ == "__main__":
    sys.exit(main())
