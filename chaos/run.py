"""One run: the load, the faults, the quiet after them, and what the checker says."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg

from chaos.checks import violations
from chaos.faults import FAULTS, Fault, Scene
from chaos.record import Database, Record
from chaos.threads import Threads
from chaos.workload import World
from stack.services import Stack

# pg_cron begins again at a full minute.
PATIENCE = 90


@dataclass
class Result:
    record: Record
    database: Database

    @property
    def violations(self) -> list[str]:
        return violations(self.record, self.database)


def run(
    stack: Stack,
    seconds: float,
    seed: int,
    *,
    faults: Sequence[Fault] = FAULTS,
    sweep_by_hand: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Result:
    """Put a started stack under load and faults; `sweep_by_hand` does not wait for pg_cron."""
    dsn = stack.env["DATABASE_URL"]
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("select dispatch.set_favorites_priority(true)")
    record = Record()
    world = World(stack.env, seed, record)
    scene = Scene(stack, world, random.Random(seed))
    with closing(world), Threads() as tending:
        tending.repeat(stack.tend, 0.2)
        with world.at_work():
            trouble(scene, seconds, faults, report)
            wait_until(lambda: all(each.alive and each.ready() for each in stack.services))
            report("The faults are over; Stripe sends what is not acknowledged")
        report("Waiting for the announcements")
        wait_until(lambda: is_quiet(dsn, sweep_by_hand=sweep_by_hand))
        for listener in world.listeners:
            wait_until(listener.catch_up)
    return Result(record, Database.read(dsn))


def trouble(
    scene: Scene, seconds: float, faults: Sequence[Fault], report: Callable[[str], None]
) -> None:
    """Faults one after the other, each as often as the others, in random order."""
    end = time.monotonic() + seconds
    deck: list[Fault] = []
    while time.monotonic() < end:
        deck = deck or scene.random.sample(faults, len(faults))
        fault = deck.pop()
        name = fault.__name__.replace("_", " ")
        try:
            fault(scene)
        except psycopg.OperationalError as error:  # the fault before this one is still felt
            report(f"{name}: cut short, {type(error).__name__}")
            deck.insert(0, fault)
        else:
            scene.world.record.faults[name] += 1
            report(name)
        scene.wait(0.2, 1.5)


def is_quiet(dsn: str, *, sweep_by_hand: bool) -> bool:
    """Whether each window that is over was announced, and each event delivered."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as owner:
            if sweep_by_hand:
                owner.execute("select dispatch.sweep(), dispatch.deliver_events()")
            row = owner.execute(
                "select not exists (select from dispatch.pending_windows(now(), 1))"
                " and not exists"
                " (select from dispatch.request_events where delivered_at is null)"
            ).fetchone()
    except psycopg.OperationalError:
        return False
    return row == (True,)


def wait_until(condition: Callable[[], bool]) -> None:
    """Not for ever: what then is wrong is the checker's to say."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
