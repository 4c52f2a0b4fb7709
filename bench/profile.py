"""Where a booking's, an accept's and a sweep's time goes, in instructions: `make profile`.

PostgreSQL in single-user mode runs a statement under valgrind so many times, and then more often:
the difference is what one costs. Unlike times, instructions are the same on a busy machine. What a
part costs is seen by leaving it out.
"""

import json
import os
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import accept, peers, sweep
from bench.database import MECHANIC, Database, acting_as
from bench.limits import INSTRUCTIONS
from bench.measure import SQL, Size, say
from stack import ROOT
from stack.install import install, install_on_theirs
from stack.postgres import AS_POSTGRES, SUPERUSER, Cluster, binary, run_psql

# By then every plan is a generic one, and every cache is warm.
WARM, MORE = 20, 50
PENDING = 2_000
# From this number on, each for one of the mechanics.
RESERVED = 1_000_000 + PENDING // 2
FAVOURITE = f"case when n > {RESERVED} then bench.favourite(n) end"
GARAGE = ROOT / "examples/marketplaces/garage/schema.sql"
# What bench/sql/sweep.sql and sweep_bare.sql take at once.
BATCH = 50
VARIABLES = {"client_id": (1, 9), "n": (1, 2_000_000_000), "customer": (1001, 11000)}
VARIABLES |= {"mechanic": (1, 1000)}
# As on a busy system: notices are left to the loop.
BUSY = "set dispatch.delivery = 'later'"
TRIGGERS = 'alter table public.session_requests {} trigger "{}"'


@dataclass(frozen=True)
class Step:
    name: str
    script: str
    without: tuple[str, ...] = ()  # triggers
    replace: tuple[tuple[str, str], ...] = ()  # in the script
    before: str = BUSY
    rows: int = 1  # that one execution is for
    database: str = "postgres"


ROUTE, GUARD, LOG_INSERT, LOG_UPDATE = (
    f"session_requests_{each}" for each in ("route", "guard", "log_insert", "log_update")
)
BOOKING = (
    Step("bare INSERT of the row", "intake_bare.sql"),
    Step("INSERT of the row, a narrow log row and a narrow ledger row", "intake_three_rows.sql"),
    Step(
        "an event that books nothing: read, checked, kept in the ledger",
        "intake.sql",
        replace=(("checkout.session.completed", "customer.created"),),
    ),
    Step("a booking without routing and log", "intake.sql", (ROUTE, LOG_INSERT)),
    Step("a booking without the log", "intake.sql", (LOG_INSERT,)),
    Step("a booking", "intake.sql"),
)
AS_MECHANIC = f"{BUSY};\n\nset request.jwt.claims = '{acting_as(MECHANIC).partition('claims=')[2]}'"
ACCEPT = (
    Step("bare UPDATE by id", "accept_bare.sql"),
    Step("an accept without guard and log", "accept.sql", (GUARD, LOG_UPDATE), before=AS_MECHANIC),
    Step("an accept without the log", "accept.sql", (LOG_UPDATE,), before=AS_MECHANIC),
    Step("an accept", "accept.sql", before=AS_MECHANIC),
    Step(
        "an accept by the favourite, in the window",
        "accept_in_turn.sql",
        # (Each run goes on after the last: an accept by who has it already is another thing.)
        before=f"{BUSY};\n\n"
        f"select setval('bench.turn', greatest(last_value, {RESERVED})) from bench.turn",
    ),
)
# Where windows are over.
OVER = "over"
# With the notices of its commit, and by the owner, as pg_cron does it.
AS_OWNER = "set session authorization postgres"
SWEEP = (
    Step("one UPDATE of due windows, for each", "sweep_bare.sql", rows=BATCH, database=OVER),
    # Of another session's the triggers log.
    Step(
        "a sweep without guard and log", "sweep.sql", (GUARD, LOG_UPDATE), rows=BATCH, database=OVER
    ),
    Step("a sweep without the log", "sweep.sql", (LOG_UPDATE,), rows=BATCH, database=OVER),
    Step("a sweep, for each window", "sweep.sql", before=AS_OWNER, rows=BATCH, database=OVER),
)
# The same windows, of which each has a favourite who is asked next, and is locked, so that a
# suspension sees it. Nothing is known yet of the bare statement's table: it goes by the ids.
TURN = (
    Step(
        "one UPDATE of due windows, their steps' DELETE and mechanics' lock, for each",
        "turn_bare.sql",
        before="set enable_seqscan = off;\n\n"
        + sweep.CHAINS.format(schema="bench", table="bench.session_requests"),
        rows=BATCH,
        database=OVER,
    ),
    Step(
        "a sweep, for each window that passes to the next favourite",
        "sweep.sql",
        before=sweep.CHAINS.format(schema="dispatch", table="public.session_requests")
        + f";\n\n{AS_OWNER}",
        rows=BATCH,
        database=OVER,
    ),
)
# A marketplace that was there first: its own statements, before the install and with the flag off.
BEFORE, AFTER = "theirs_before", "theirs_after"
THEIRS = tuple(
    tuple(
        Step(f"{what}, {state}", f"theirs_{script}.sql", off, before="select 1", database=database)
        for state, database, off in (
            ("before the install", BEFORE, ()),
            ("with the feature's columns, foreign key and indexes alone", AFTER, triggers),
            ("with the flag off", AFTER, ()),
        )
    )
    for what, script, triggers in (
        ("their booking", "book", ("zzz_dispatch_open_window", "00_dispatch_log_insert")),
        (
            "their accept",
            "accept",
            ("00_dispatch_guard", "zzz_dispatch_guard", "00_dispatch_log_update"),
        ),
    )
)
# The peers, with a bare job and with the same work as ours (bench/peers/).
PEERS = tuple(
    Step(
        f"{peers.NAMES[peer]}, {what} with {name}",
        script,
        replace=(call, ("(:peer)::text", f"'{peer}'"), (":first", str(work.first_of(peer)))),
    )
    for peer in peers.WORKERS
    for work, name in ((peers.BARE, "a bare job"), (peers.SAME, "the same work"))
    for what, script, call in (
        ("a booking", work.intake, work.intake_call),
        ("an accept", work.accept, ("", "")),
    )
)
# Enough for all of these.
DUE = (len(SWEEP) + len(TURN)) * (2 * WARM + MORE) * BATCH


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="favorites-profile-") as name,
        data(Path(name)) as pgdata,
    ):
        costs = {}
        for steps in (BOOKING, ACCEPT, PEERS, SWEEP, TURN, *THEIRS):
            bare = 0
            for step in steps:
                cost = costs[step.name] = instructions(step, pgdata)
                bare = bare or cost
                print(f"{cost / 1000:9,.0f} thousand  {cost / bare:5.2f}  {step.name}", flush=True)
            print(flush=True)
    INSTRUCTIONS.write_text(json.dumps(costs, indent=2) + "\n")
    return 0


@contextmanager
def data(directory: Path) -> Iterator[Path]:
    """A stopped server's data: people, some history, requests to accept."""
    directory.chmod(0o711)
    say("filling a database")
    cluster = Cluster(directory / "postgres")
    try:
        install(cluster.dsn())
        db = Database(cluster, Size())
        db.prepare(history=10_000)
        # It would sweep what is for the steps.
        db.run("select cron.unschedule(jobid) from cron.job")
        db.end_pg_cron_runs()
        peers.install(db)
        accept.fill(db, PENDING, FAVOURITE)
        for peer in peers.WORKERS:
            for work in (peers.BARE, peers.SAME):
                peers.book(db, peer, work, PENDING)
        db.run("vacuum analyze", as_superuser=True)
        db.close()
        # A favourite's accept, beside what is over, would announce that first.
        install(cluster.create_database(OVER))
        db = Database(cluster, Size(), OVER)
        db.prepare(history=10_000)
        for table in ("public.session_requests", "bench.session_requests"):
            sweep.add(db, table, DUE)
        db.run("vacuum analyze", as_superuser=True)
        db.close()
        for name in (BEFORE, AFTER):
            dsn = cluster.create_database(name)
            run_psql(dsn, "-f", str(GARAGE), "-f", str(SQL / "theirs.sql"))
        install_on_theirs(cluster.dsn(dbname=AFTER))
        for name in (BEFORE, AFTER):
            run_psql(cluster.dsn(SUPERUSER, name), "-c", "vacuum analyze")
        pgdata = Path(cluster.get_data_directory())
        cluster.terminate()
        yield pgdata
    finally:
        cluster.stop()


def instructions(step: Step, pgdata: Path) -> int:
    run(step, pgdata, 1)  # the first session of a database writes down its catalogue
    few, many = (run(step, pgdata, count) for count in (WARM, WARM + MORE))
    return (many - few) // MORE // step.rows


def run(step: Step, pgdata: Path, count: int) -> int:
    """The instructions of a session that executes the step's statement so often."""
    body, variables = statement(step)
    types = f"({', '.join('integer' for _ in variables)})" if variables else ""
    session = [step.before]
    session += [TRIGGERS.format("disable", trigger) for trigger in step.without]
    session.append(f"prepare step{types} as {body}")
    for _ in range(count):
        values = ", ".join(str(random.randint(*VARIABLES[each])) for each in variables)
        session.append(f"execute step({values})" if variables else "execute step")
    session += [TRIGGERS.format("enable", trigger) for trigger in step.without]
    # The data's owner must be able to write what valgrind counted.
    with tempfile.TemporaryDirectory(dir=pgdata.parent) as name:
        Path(name).chmod(0o777)
        command = [*AS_POSTGRES, "valgrind", "--tool=callgrind", f"--callgrind-out-file={name}/out"]
        command += [binary("postgres"), "--single", "-j", "-D", str(pgdata)]
        command += ["-c", "fsync=off", "-c", "wal_level=logical", "-c", "shared_preload_libraries="]
        process = subprocess.run(
            [*command, step.database],
            input="".join(f"{each};\n\n" for each in session),
            capture_output=True,
            text=True,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )
    counted = re.search(r"Collected : ([0-9]+)", process.stderr)
    if process.returncode or not counted or re.search(r"ERROR|FATAL", process.stderr):
        raise RuntimeError(f"{step.name}:\n{process.stderr}")
    return int(counted[1])


def statement(step: Step) -> tuple[str, list[str]]:
    """The script's statement with parameters in place of pgbench's variables, and those."""
    lines = (SQL / step.script).read_text().splitlines()
    text = "\n".join(each for each in lines if not re.match(r"\\|--|$", each)).rstrip(";\n")
    for old, new in step.replace:
        text = text.replace(old, new)
    variables = [each for each in VARIABLES if re.search(rf"(?<!:):{each}\b", text)]
    for number, each in enumerate(variables, start=1):
        text = re.sub(rf"(?<!:):{each}\b", f"${number}", text)
    return text, variables


if __name__ == "__main__":
    raise SystemExit(main())
