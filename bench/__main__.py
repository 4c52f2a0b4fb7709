"""Run every benchmark and print a table; exit 1 if a goal is missed. See `make bench`."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from stack.install import install
from stack.postgres import SUPERUSER, Cluster, binary, run_psql

HERE = Path(__file__).parent
ROUNDS = 5
SECONDS = 3
CONNECTIONS = 8
# Sized as a DBA would, so that neither side waits for reads or checkpoints.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
MECHANIC = "00000000-0000-4000-8000-000000000001"
CUSTOMER = "00000000-0000-4000-8000-000000001001"


@dataclass
class Result:
    """One line of the table; `spread` is the lowest and the highest of the rounds."""

    name: str
    value: float
    unit: str
    goal: str
    met: bool
    baseline: str
    spread: tuple[float, float] | None = None


def pgbench(dsn: str, script: str, *, options: str = "") -> float:
    """Transactions a second of a script in `bench/`, at CONNECTIONS connections."""
    process = subprocess.run(
        [
            *(binary("pgbench"), "-n", "-M", "prepared", "-f", str(HERE / script)),
            *("-c", str(CONNECTIONS), "-j", "2", "-T", str(SECONDS), dsn),
        ],
        env=os.environ | {"PGOPTIONS": options},
        capture_output=True,
        text=True,
    )
    match = re.search(r"tps = ([0-9.]+)", process.stdout)
    if process.returncode or match is None or "failed transactions: 0 " not in process.stdout:
        raise RuntimeError(f"pgbench {script} failed:\n{process.stdout}{process.stderr}")
    return float(match[1])


def ratio(name: str, goal: float, ours: Callable[[], float], bare: Callable[[], float]) -> Result:
    """The median of the ratios of interleaved rounds, so that a busy machine slows both alike."""
    ratios = []
    for _ in range(ROUNDS):
        baseline = bare()
        ratios.append(ours() / baseline)
        print(f"  {name}: {ratios[-1]:.2f} of {baseline:,.0f} per second", file=sys.stderr)
    value = statistics.median(ratios)
    return Result(
        name, value, "ratio", f">= {goal}", value >= goal, "bare", (min(ratios), max(ratios))
    )


def intake(cluster: Cluster, where: str = "") -> Result:
    return ratio(
        f"intake, {CONNECTIONS} connections{where}, beside a bare INSERT of the row",
        0.5,
        lambda: pgbench(cluster.dsn(), "intake.sql"),
        lambda: pgbench(cluster.dsn(), "intake_bare.sql"),
    )


def drop_realtime(cluster: Cluster) -> None:
    """Leave plain PostgreSQL: a bare INSERT broadcasts nothing, and like goes with like."""
    with psycopg.connect(cluster.dsn(SUPERUSER), autocommit=True) as superuser:
        superuser.execute("drop schema realtime cascade")


def slow_flush(cluster: Cluster, *, on: bool) -> None:
    """Have each commit wait 1 ms, as it does on a network disk; local disks here are faster."""
    with psycopg.connect(cluster.dsn(SUPERUSER), autocommit=True) as superuser:
        superuser.execute(f"alter system set commit_delay = {1000 if on else 0}")
        superuser.execute("alter system set commit_siblings = 0")
        superuser.execute("select pg_reload_conf()")


def fill_accepts(cluster: Cluster) -> None:
    """Pending requests for `accept`, as many as all its rounds can take."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as owner:
        owner.execute("alter table public.session_requests disable trigger user")
        for table in ("bench", "public"):
            owner.execute(
                f"insert into {table}.session_requests"
                " (id, customer_id, session_type, plan_code, notification_sent_at)"
                " select bench.request_id(1000000 + n), %s, 'chat', 'quick-chat', now()"
                " from generate_series(1, 400000) as n",
                [CUSTOMER],
            )
        owner.execute("alter table public.session_requests enable trigger user")
        owner.execute("vacuum analyze public.session_requests, bench.session_requests")


def accept(cluster: Cluster, where: str = "") -> Result:
    claims = json.dumps({"sub": MECHANIC, "role": "authenticated"}, separators=(",", ":"))
    mechanic = f"-c role=authenticated -c request.jwt.claims={claims}"
    return ratio(
        f"accept, {CONNECTIONS} connections{where}, notice included, beside a bare UPDATE by id",
        0.75,
        lambda: pgbench(cluster.dsn(), "accept.sql", options=mechanic),
        lambda: pgbench(cluster.dsn(), "accept_bare.sql"),
    )


def idle_tick(cluster: Cluster) -> Result:
    """Pages read by a sweep with nothing due, at a million requests and 10,000 open windows."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as owner:
        owner.execute("alter table public.session_requests disable trigger user")
        owner.execute(
            "insert into public.session_requests (customer_id, session_type, status,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at,"
            " notification_sent_at, expires_at)"
            " select %s, 'chat', case when n > 10000 then 'completed' else 'pending' end"
            "::public.session_request_status, %s, 60, now(),"
            " case when n > 10000 then now() end, now() + interval '1 day'"
            " from generate_series(1, 1000000) as n",
            [CUSTOMER, MECHANIC],
        )
        owner.execute("alter table public.session_requests enable trigger user")
        owner.execute("vacuum analyze public.session_requests")
        for _ in range(6):  # the first calls also read the catalogue
            row = owner.execute(
                "explain (analyze, buffers, format json) select dispatch.sweep()"
            ).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
    buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return Result(
        "sweep with nothing due, 1 million rows", buffers, "buffers", "<= 10", buffers <= 10, "-"
    )


def lateness(cluster: Cluster) -> Result:
    """How late the real pg_cron job announces windows that end one after another."""
    count = 100
    with psycopg.connect(cluster.dsn(), autocommit=True) as owner:
        print("  waiting for pg_cron to begin its minute", file=sys.stderr)
        while not owner.execute(
            "select 1 from cron.job_run_details where status = 'running'"
        ).fetchone():
            time.sleep(0.2)
        owner.execute(
            "insert into public.session_requests (customer_id, session_type,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " select %s, 'video', %s, 1,"
            " now() - interval '1 minute' + interval '2 seconds' + n * interval '97 ms'"
            " from generate_series(1, %s) as n",
            [CUSTOMER, MECHANIC, count],
        )
        query = (
            "select extract(epoch from notification_sent_at - priority_notified_at) - 60"
            " from public.session_requests"
            " where session_type = 'video' and notification_sent_at is not null"
        )
        while len(rows := owner.execute(query).fetchall()) < count:
            time.sleep(0.5)
    late = sorted(float(row[0]) * 1000 for row in rows)
    median = statistics.median(late)
    return Result(
        "fallback announced after its deadline, pg_cron, idle, p50",
        median,
        "ms",
        "<= 50",
        median <= 50,
        "-",
        (late[0], late[-1]),
    )


def main() -> int:
    cluster = Cluster(fsync=True, settings=SETTINGS)
    try:
        install(cluster.dsn())
        with psycopg.connect(cluster.dsn(), autocommit=True) as owner:
            run_psql(cluster.dsn(), "-f", str(HERE / "schema.sql"))
            owner.execute("select dispatch.set_favorites_priority(true)")
        results = [lateness(cluster)]
        # Where Supabase Realtime is, each notice is also written to realtime.messages.
        results.append(intake(cluster, " and Supabase Broadcast"))
        drop_realtime(cluster)
        fill_accepts(cluster)
        results += [intake(cluster), accept(cluster)]
        slow_flush(cluster, on=True)
        results += [intake(cluster, ", 1 ms flush"), accept(cluster, ", 1 ms flush")]
        slow_flush(cluster, on=False)
        results.append(idle_tick(cluster))
        with psycopg.connect(cluster.dsn()) as owner:
            names = "server_version", "fsync", "synchronous_commit", "wal_level", *SETTINGS
            settings = {
                name: owner.execute("select current_setting(%s)", [name]).fetchone()
                for name in names
            }
    finally:
        cluster.stop()

    for result in results:
        spread = f" ({result.spread[0]:.2f} to {result.spread[1]:.2f})" if result.spread else ""
        print(
            f"{'met   ' if result.met else 'MISSED'} {result.name}: "
            f"{result.value:.2f} {result.unit}{spread}, goal {result.goal}"
        )
    document = {
        "settings": {name: value[0] for name, value in settings.items() if value},
        "results": [asdict(result) for result in results],
    }
    (HERE / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
