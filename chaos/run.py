"""One run: the load, the faults, the quiet after them, and what the checker says."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

import psycopg

from chaos import listeners
from chaos.checks import violations
from chaos.faults import FAULTS, LONG_FAULTS, Fault, Scene
from chaos.phones import ringing
from chaos.record import Database, Record
from chaos.threads import Threads
from chaos.workload import World
from stack.services import Stack

Report = Callable[[str], None]


@dataclass
class Result:
    record: Record
    database: Database

    @property
    def violations(self) -> list[str]:
        return violations(self.record, self.database)


@dataclass(frozen=True)
class Step:
    fault: Fault
    random: random.Random  # the fault's own, so that none takes another's numbers
    pause: float  # seconds, after it

    @property
    def name(self) -> str:
        return self.fault.__name__.replace("_", " ")


def plan(faults: Sequence[Fault], seed: int, longest_pause: float) -> Iterator[Step]:
    """Each fault as often as the others, in random order; for the same seed the same."""
    chosen = random.Random(seed)
    for number in itertools.count() if faults else ():
        for fault in chosen.sample(faults, len(faults)):
            own = random.Random(f"{seed} {number} {fault.__name__}")
            yield Step(fault, own, chosen.uniform(0.2, longest_pause))


def run(
    stack: Stack,
    seconds: float,
    seed: int,
    *,
    faults: Sequence[Fault] = FAULTS,
    long_faults: Sequence[Fault] = LONG_FAULTS,
    sweep_by_hand: bool = False,
    patience: float = 90,  # pg_cron begins again at a full minute
    senders: int = 2,  # of Web Push
    report: Report = lambda _: None,
) -> Result:
    """Put a started stack under load and faults; `sweep_by_hand` does not wait for pg_cron."""
    dsn = stack.env["DATABASE_URL"]
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("select dispatch.set_favorites_priority(true)")
        owner.execute("select dispatch.set_max_open_sessions(null)")
    record = Record()
    world = World(stack.env, seed, record)
    with (
        closing(world),
        ExitStack() as still,
        listening(stack, record),
        ringing(stack, record, senders) as phones,
        Threads() as tending,
    ):
        scene = Scene(stack, world, random.Random(seed), phones, threading.Event())
        tending.repeat(stack.tend, 0.2)
        with world.at_work(patience):
            with ThreadPoolExecutor() as pool, ending(scene):
                long = pool.submit(trouble, scene, plan(long_faults, seed, 60), seconds, report)
                trouble(scene, plan(faults, seed, 1.5), seconds, report)
            long.result()
            wait_until(lambda: all(e.alive and e.ready() for e in stack.services), patience)
            report("The faults are over; Stripe sends what is not acknowledged")
        report("Waiting for the announcements")
        # Both, before anything is locked: until the full minute at which pg_cron begins, nobody
        # sends what was left, and windows go on ending.
        wait_until(
            lambda: is_announced(dsn, sweep_by_hand) and is_delivered(dsn, sweep_by_hand), patience
        )
        wait_until(lambda: is_pushed(dsn), patience)
        # What expires now would be news while the listeners read to the end.
        owner = still.enter_context(psycopg.connect(dsn))
        owner.execute("lock table public.session_requests in share mode")
        wait_until(lambda: is_delivered(dsn, sweep_by_hand), patience)
        database = Database.read(dsn)
    return Result(record, database)


@contextmanager
def listening(stack: Stack, record: Record) -> Iterator[None]:
    """The listeners, tended with the stack; what they heard is in the record afterwards."""
    service = listeners.service(stack.directory, stack.env, record.topics)
    service.start()
    stack.services.append(service)
    try:
        yield
        listeners.finish(service)
    finally:
        stack.services.remove(service)
        service.stop()
    listeners.read_journal(listeners.journal_path(stack.directory), record)


@contextmanager
def ending(scene: Scene) -> Iterator[None]:
    try:
        yield
    finally:
        scene.over.set()


def trouble(scene: Scene, steps: Iterator[Step], seconds: float, report: Report) -> None:
    """Faults one after the other; one that others cut short is tried again."""
    end = time.monotonic() + seconds
    for step in steps:
        while time.monotonic() < end and not scene.over.is_set():
            try:
                step.fault(replace(scene, random=step.random))
            except psycopg.OperationalError as error:  # the fault before this one is still felt
                report(f"{step.name}: cut short, {type(error).__name__}")
                scene.wait(0.2, 1)
            else:
                scene.world.record.faults[step.name] += 1
                report(step.name)
                scene.over.wait(step.pause)
                break
        else:
            return


def is_announced(dsn: str, sweep_by_hand: bool) -> bool:
    """Whether each window that is over was announced."""
    return succeeds(
        dsn,
        *(["select dispatch.sweep()"] if sweep_by_hand else []),
        "select not exists (select from dispatch.pending_windows(now(), 1))",
    )


def is_delivered(dsn: str, sweep_by_hand: bool) -> bool:
    return succeeds(
        dsn,
        *(["select dispatch.deliver_events()"] if sweep_by_hand else []),
        "select not exists (select from dispatch.request_events where delivered_at is null)",
    )


def is_pushed(dsn: str) -> bool:
    """Whether a sender has taken whatever is due for long."""
    return succeeds(
        dsn,
        "select not exists (select from dispatch.pushes where finished_at is null"
        " and due_at < now() - interval '5 seconds' and expires_at > now())",
    )


def succeeds(dsn: str, *queries: str) -> bool:
    """Whether the last of the queries says true."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as owner:
            row = None
            for query in queries:
                row = owner.execute(query.encode()).fetchone()
    except psycopg.OperationalError:
        return False
    return row == (True,)


def wait_until(condition: Callable[[], bool], patience: float) -> None:
    """Not for ever: what then is wrong is the checker's to say."""
    deadline = time.monotonic() + patience
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
