"""Run the stack under load and faults, and check what came of it: `make chaos DURATION=600`.

Exit 1 if something was lost, or someone let in.
"""

import argparse
import itertools
import secrets
import sys
import time
from collections import Counter

from chaos.breakable import breakable_stack
from chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()

    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    print(f"Seed {options.seed}: the same faults come again with --seed {options.seed}")
    with breakable_stack(report) as stack:
        result = run(stack, options.seconds, options.seed, report=report)
    record, database = result.record, result.database
    for fault, count in sorted(record.faults.items()):
        print(f"{count:6} times  {fault}")
    outcomes = Counter(" ".join((each.outcome, each.trouble)) for each in record.answers)
    outcomes.update(f"{each.outcome} (Stripe)" for each in record.postings)
    for outcome, count in outcomes.most_common():
        print(f"{count:6} answers  {outcome}")
    events = list(itertools.chain.from_iterable(database.events.values()))
    transitions = Counter(
        " ".join(filter(None, (each["event"], each["payload"].get("reason")))) for each in events
    )
    for transition, count in transitions.most_common():
        print(f"{count:6} times  {transition}")
    print(f"{len(record.notices)} notices heard of {len(events)} transitions")
    pushes = Counter(row["outcome"] or "open" for row in database.pushes)
    print(f"{len(record.pushes)} pushes came: {dict(pushes)}")
    violations = result.violations
    for line in violations:
        print(line)
    print(f"{len(violations)} violations in {record.operations} operations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
