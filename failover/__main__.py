"""Lose the primary of three PostgreSQLs under load, again and again: `make failover TIMES=10`.

Exit 1 if what a client was told is done was lost, or one of the rules of `make chaos` broken.
`python -m failover up` only starts the cluster, until it is interrupted.
"""

import argparse
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from chaos.record import Record
from chaos.workload import World
from failover.cluster import Cluster
from failover.run import PROMOTED, Failover, fail_over

SHOWN = 20  # lines of what is wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m failover", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("test", "up"), default="test")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--asynchronous",
        action="store_true",
        help="commits wait for no other machine: what the checks must find",
    )
    options = parser.parse_args()

    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped
    directory = Path(tempfile.mkdtemp(prefix="favorites-failover-"))
    directory.chmod(0o711)  # user postgres must get through
    with Cluster(directory, report) as cluster:
        if options.command == "up":
            for name, value in cluster.env.items():
                print(f"{name}={value}")
            with suppress(KeyboardInterrupt, SystemExit):
                signal.pause()
            failed = False
        else:
            if options.asynchronous:
                cluster.replicate_asynchronously()
            failed = run(cluster, options.times, options.seed, report)
    if failed:
        print(f"The logs are in {directory}")
    else:
        shutil.rmtree(directory)
    return 1 if failed else 0


def run(cluster: Cluster, times: int, seed: int, report: Callable[[str], None]) -> bool:
    """Whether one of the failovers failed."""
    failovers: list[Failover] = []
    record = Record()
    # The same people and one record for all: what is lost by a later failover is found too.
    with closing(World(cluster.env, seed, record)) as world:
        for number in range(1, times + 1):
            report(f"Failover {number} of {times}")
            failovers.append(fail_over(cluster, world, report))
            tell(failovers[-1])
    last = failovers[-1]
    back = [each.back for each in failovers]
    passed = sum(each.passed for each in failovers)
    print(
        f"{passed} of {times}: {len(last.lost)} lost of {last.acknowledged:,} acknowledged;"
        f" back after {statistics.median(back):.1f} s (max {max(back):.1f} s)"
    )
    return passed < times


def tell(failover: Failover) -> None:
    print(
        f"           {failover.lost_machine} was lost, {failover.primary} is the primary,"
        f" pg_cron is at work after {failover.pg_cron:.0f} s\n"
        f"           {failover.ended} windows ended meanwhile; {failover.announced} announced,"
        f" at most {failover.announced_within:.1f} s after {PROMOTED}; the others accepted first\n"
        f"           {failover.acknowledged:,} acknowledged so far, {len(failover.lost)} lost;"
        f" {len(failover.violations)} violations"
    )
    for line in [*failover.lost, *failover.violations][:SHOWN]:
        print(f"           {line}")


if __name__ == "__main__":
    sys.exit(main())
