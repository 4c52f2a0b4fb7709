"""One failover: the primary is lost under load, another takes over, the lost one comes back."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from chaos.checks import violations
from chaos.listeners import Listener, RecordKeeper, listeners_of
from chaos.record import OK, Database
from chaos.run import is_announced, is_delivered, wait_until
from chaos.threads import Threads
from chaos.workload import World
from failover import acknowledged
from failover.cluster import PATIENCE, Cluster, Machine
from stack.clients import Env

LOAD = 3  # seconds of it before the loss, and at the end
# Between the network and the power: what is committed meanwhile reaches no other machine.
CUT_OFF = 0.3
WINDOWS = 60  # that end one after another, from the loss on
APART = 0.3  # seconds
MOST_LATE = 2  # seconds, with pg_cron at work
QUIET = 90  # seconds to wait for it: pg_cron begins at a full minute

PROMOTED = "another primary"
PAID = "a payment acknowledged"
ACCEPTED = "an accept acknowledged"
HEARD = "a notice heard"
BACK = "the lost machine follows"


@dataclass
class Failover:
    lost_machine: str
    primary: str
    seconds: Mapping[str, float]  # from the loss until each of the moments above
    pg_cron: float  # until it began the sweep's job
    ended: int  # windows, while there was no primary
    announced: int  # of these; the others were accepted first
    announced_within: float  # seconds after the promotion
    acknowledged: int
    lost: list[str]
    violations: list[str]

    @property
    def passed(self) -> bool:
        return not self.lost and not self.violations

    @property
    def back(self) -> float:
        """When payments and accepts were acknowledged again."""
        return max(self.seconds[PAID], self.seconds[ACCEPTED])


def fail_over(cluster: Cluster, world: World, report: Callable[[str], None]) -> Failover:
    dsn, record = cluster.env["DATABASE_URL"], world.record
    old = cluster.require_primary()
    with listening(world, cluster.env) as listeners:
        with world.at_work(PATIENCE), Threads() as storm:
            storm.repeat(lambda: book(world), 0.05)
            time.sleep(LOAD)
            windows = open_windows(dsn, world, WINDOWS)
            old.cut_off()
            time.sleep(CUT_OFF)
            old.lose()
            lost_at = time.time()
            report(f"{old.name} is lost")
            seconds = wait_for_others(cluster, world, lost_at, report)
            new = cluster.require_primary()
            seconds |= bring_back(cluster, old, lost_at, report)
            time.sleep(LOAD)
        wait_until(lambda: cron_began(dsn, lost_at) is not None, QUIET)
        wait_until(lambda: is_announced(dsn, sweep_by_hand=False), QUIET)
        (probe,) = open_windows(dsn, world, 1)
        time.sleep(APART)
        wait_until(lambda: is_announced(dsn, sweep_by_hand=False), QUIET)
    database = read_with_listeners(dsn, listeners)
    found = violations(record, database)
    if not old.was_rewound:
        found.append(f"{old.name} follows, and not by pg_rewind")
    late = max(broadcasts(database, probe), default=0) - window_end(database, probe)
    if not 0 <= late < MOST_LATE:
        found.append(f"with pg_cron at work, a window was announced {late:.1f} s late")
    promoted_at = lost_at + seconds[PROMOTED]
    ended = [window for window in windows if window_end(database, window) < promoted_at]
    announced = [at for window in ended for at in broadcasts(database, window)]
    return Failover(
        old.name,
        new.name,
        seconds,
        cron_began(dsn, lost_at) or 0,
        len(ended),
        len(announced),
        max(announced, default=promoted_at) - promoted_at,
        acknowledged.count(record),
        list(acknowledged.lost(record, database)),
        found,
    )


def wait_for_others(
    cluster: Cluster, world: World, lost_at: float, report: Callable[[str], None]
) -> dict[str, float]:
    """Until there is another primary, and clients have their answers from it."""
    record = world.record
    time.sleep(1)  # answers that were under way are written down meanwhile
    postings, answers = len(record.postings), len(record.answers)
    dsn = cluster.env["DATABASE_URL"]
    seconds = moments(lost_at, report, {PROMOTED: lambda: cluster.primary() is not None})
    notices = len(record.notices)
    return seconds | moments(
        lost_at,
        report,
        {
            # A repeated event is answered without a write; this must be a new one.
            PAID: lambda: bool(
                {each.event for each in record.postings[postings:] if each.outcome == OK}
                & received_since(dsn, lost_at)
            ),
            ACCEPTED: lambda: any(
                each.action == "accept" and each.outcome == OK for each in record.answers[answers:]
            ),
            HEARD: lambda: len(record.notices) > notices,
        },
    )


def bring_back(
    cluster: Cluster, machine: Machine, lost_at: float, report: Callable[[str], None]
) -> dict[str, float]:
    machine.start()
    return moments(
        lost_at, report, {BACK: lambda: machine.name in cluster.replicas() and cluster.is_whole()}
    )


def moments(
    since: float, report: Callable[[str], None], awaited: Mapping[str, Callable[[], bool]]
) -> dict[str, float]:
    """After how many seconds each of these came to be."""
    seconds: dict[str, float] = {}
    while len(seconds) < len(awaited):
        for name, condition in awaited.items():
            if name not in seconds and condition():
                seconds[name] = time.time() - since
                report(f"{name}, {seconds[name]:.1f} s after the loss")
        if time.time() > since + PATIENCE:
            raise RuntimeError(f"not within {PATIENCE} s: {awaited.keys() - seconds.keys()}")
        time.sleep(0.02)
    return seconds


def book(world: World) -> None:
    """A customer pays."""
    random = world.stripe.random
    customer = random.choice(world.customers)
    world.stripe.pay(
        customer,
        {
            "customer_id": customer,
            "plan_code": "quick-chat",
            "session_type": "chat",
            "routing_type": "priority_broadcast",
            "preferred_mechanic_id": random.choice(world.favourites),
        },
    )


def open_windows(dsn: str, world: World, number: int) -> list[str]:
    """Requests that are reserved until a moment from now, and each a moment longer."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        rows = owner.execute(
            "insert into public.session_requests (customer_id, session_type, plan_code,"
            " preferred_mechanic_id, priority_window_minutes, priority_notified_at)"
            " select %s, 'chat', 'quick-chat', %s, 1,"
            " clock_timestamp() - interval '1 minute' + make_interval(secs => n * %s)"
            " from generate_series(1, %s) as n returning id::text",
            [world.customers[0], world.favourites[0], APART, number],
        ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def listening(world: World, env: Env) -> Iterator[list[Listener]]:
    """Everyone with a topic listens; afterwards they have not yet read to the end."""
    listeners = listeners_of(world.record, env, RecordKeeper(world.record))
    with Threads() as threads:
        for listener in listeners:
            threads.repeat(listener.act, 0.1)
        yield listeners


def read_with_listeners(dsn: str, listeners: list[Listener]) -> Database:
    """The database as it is when all listeners have read to the end."""
    with psycopg.connect(dsn) as owner, ThreadPoolExecutor(len(listeners)) as finishing:
        # What expires now would be news while they read.
        owner.execute("lock table public.session_requests in share mode")
        wait_until(lambda: is_delivered(dsn, sweep_by_hand=False), QUIET)
        list(finishing.map(Listener.finish, listeners))
        database = Database.read(dsn)
    for listener in listeners:
        listener.close()
    return database


def window_end(database: Database, request: str) -> float:
    return float(database.events[request][0]["window_ends"])


def broadcasts(database: Database, request: str) -> list[float]:
    """When it was announced to everyone."""
    events = database.events[request]
    return [event["at"] for event in events if event["event"] == "new_request"]


def received_since(dsn: str, since: float) -> set[str]:
    """Stripe's events that were new after this."""
    query = "select id from dispatch.stripe_events where received_at > to_timestamp(%s)"
    try:
        with psycopg.connect(dsn, connect_timeout=5) as owner:
            return {row[0] for row in owner.execute(query, [since])}
    except psycopg.OperationalError:
        return set()


def cron_began(dsn: str, since: float) -> float | None:
    """How long after this pg_cron first began the sweep's job."""
    with psycopg.connect(dsn, connect_timeout=5) as owner:
        row = owner.execute(
            "select date_part('epoch', min(d.start_time)) - %(since)s"
            " from cron.job_run_details as d join cron.job as j using (jobid)"
            " where j.jobname = 'dispatch-sweep' and d.start_time > to_timestamp(%(since)s)",
            {"since": since},
        ).fetchone()
    return row[0] if row else None
