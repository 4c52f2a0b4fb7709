"""What goes wrong: each function is one fault, from its beginning to its end.

Two are left out: a full disk, which needs a file system of its own to fill, and the loss of the
network, since all of the stack is on this machine.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from chaos.record import Intervention
from chaos.threads import Threads
from chaos.workload import LISTENER, Customer, Mechanic, World
from stack.clients import add_mechanic, add_user
from stack.postgres import SUPERUSER
from stack.services import Service, Stack

Connection = psycopg.Connection[Any]
# No fault waits for ever.
PATIENCE = "-c lock_timeout=5s -c statement_timeout=20s"
TIME_ZONES = ("UTC", "Pacific/Apia", "America/St_Johns", "Europe/Berlin")


@dataclass
class Scene:
    stack: Stack
    world: World
    random: random.Random

    @contextmanager
    def connection(self, user: str = "postgres") -> Iterator[Connection]:
        assert self.stack.cluster
        dsn = self.stack.cluster.dsn(user)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5, options=PATIENCE) as each:
            yield each

    def service(self, name: str) -> Service:
        return next(each for each in self.stack.services if each.name == name)

    def wait(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))

    @contextmanager
    def intervention(self, kind: str, user: str | None = None) -> Iterator[None]:
        """What is inside may have been done, even if it failed."""
        began = time.time()
        try:
            yield
        finally:
            self.world.record.interventions.append(Intervention(kind, user, began, time.time()))


Fault = Callable[[Scene], None]


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_a_backend(scene: Scene) -> None:
    """The server then ends all the others, and recovers."""
    with scene.connection(SUPERUSER) as connection:
        pids = connection.execute(
            "select pid from pg_stat_activity where backend_type = 'client backend' order by pid"
        ).fetchall()
    kill(scene.random.choice(pids)[0])


def kill_postgres(scene: Scene) -> None:
    assert scene.stack.cluster
    if pid := scene.stack.cluster.server_pid:
        kill(pid)


def kill_a_webhook_worker(scene: Scene) -> None:
    process = scene.service("webhook").process
    if process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            kill(int(scene.random.choice(children)))


def kill_postgrest(scene: Scene) -> None:
    process = scene.service("postgrest").process
    if process:
        kill(process.pid)


def cut_off_a_listener(scene: Scene) -> None:
    with scene.connection(SUPERUSER) as connection:
        pids = connection.execute(
            "select pid from pg_stat_activity where application_name = %s order by pid", [LISTENER]
        ).fetchall()
        if pids:
            connection.execute("select pg_terminate_backend(%s)", scene.random.choice(pids))


def stop_the_sweep(scene: Scene) -> None:
    """The cron job is deactivated, and its loop of this minute ended."""
    try:
        with scene.connection(SUPERUSER) as connection:
            activate(connection, on=False)
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where query like '%dispatch.sweep_round%' and pid <> pg_backend_pid()"
            )
        scene.wait(1, 5)
    finally:
        until_done(lambda: activate_again(scene))


def activate(connection: Connection, *, on: bool) -> None:
    connection.execute(
        "select cron.alter_job(jobid, active => %s) from cron.job where jobname = 'dispatch-sweep'",
        [on],
    )


def activate_again(scene: Scene) -> None:
    with scene.connection(SUPERUSER) as connection:
        activate(connection, on=True)


def use_up_the_connections(scene: Scene) -> None:
    assert scene.stack.cluster
    with ExitStack() as held:
        try:
            while True:
                held.enter_context(psycopg.connect(scene.stack.cluster.dsn(), connect_timeout=5))
        except psycopg.OperationalError:
            scene.wait(0.5, 2)


def lock_the_table(scene: Scene) -> None:
    with scene.connection() as connection, connection.transaction():
        connection.execute("lock table public.session_requests in access exclusive mode")
        scene.wait(0.5, 3)


def turn_the_flag(scene: Scene) -> None:
    try:
        with scene.connection() as connection:
            with scene.intervention("flag off"):
                connection.execute("select dispatch.set_favorites_priority(false)")
            scene.wait(0.1, 1)
    finally:
        until_done(lambda: turn_on(scene))


def turn_on(scene: Scene) -> None:
    with scene.connection() as connection:
        connection.execute("select dispatch.set_favorites_priority(true)")


def until_done(action: Callable[[], None]) -> None:
    """For what a fault must leave as it was: the server may be away meanwhile."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return action()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def newcomer(scene: Scene, kind: type[Customer | Mechanic]) -> Iterator[str]:
    """A user who acts like the others, and who may go meanwhile."""
    world = scene.world
    with scene.connection() as connection:
        user = add_mechanic(connection, "Max") if kind is Mechanic else add_user(connection)
    person = kind(world, user)
    before = world.favourites
    with closing(person), Threads() as acting:
        if kind is Mechanic:
            world.favourites = (*before, user, user)
        acting.repeat(person.act, 0.05)
        scene.wait(0.5, 2)
        yield user
        scene.wait(0, 0.5)
        world.favourites = before


def suspend_a_mechanic(scene: Scene) -> None:
    with (
        newcomer(scene, Mechanic) as user,
        scene.connection() as connection,
        scene.intervention("suspended", user),
    ):
        connection.execute("update public.mechanics set status = 'suspended' where id = %s", [user])


def delete_a_mechanic(scene: Scene) -> None:
    with newcomer(scene, Mechanic) as user:
        delete(scene, user)


def delete_a_customer(scene: Scene) -> None:
    with newcomer(scene, Customer) as user:
        delete(scene, user)


def delete(scene: Scene, user: str) -> None:
    with scene.connection() as connection, scene.intervention("deleted", user):
        connection.execute("delete from auth.users where id = %s", [user])


def sweep_twice_at_once(scene: Scene) -> None:
    def sweep() -> None:
        with scene.connection() as connection:
            for _ in range(20):
                connection.execute("select dispatch.sweep()")

    with ThreadPoolExecutor() as pool:
        for each in [pool.submit(sweep) for _ in range(2)]:
            each.result()


def provoke_deadlocks(scene: Scene) -> None:
    """Two writers take the same rows, in opposite orders, while others take them too."""

    def write(order: str) -> None:
        with scene.connection() as connection, connection.transaction():
            rows = connection.execute(
                "select id from public.session_requests order by created_at desc limit 6"
            ).fetchall()
            for row in rows if order == "down" else reversed(rows):
                connection.execute(
                    "update public.session_requests set notes = null where id = %s", row
                )
                time.sleep(0.02)

    with ThreadPoolExecutor() as pool:
        for each in [pool.submit(write, order) for order in ("down", "up")]:
            with suppress(psycopg.errors.DeadlockDetected):
                each.result()


def change_the_time_zone(scene: Scene) -> None:
    """For every session that begins from now on; PostgREST's must begin anew."""
    zone = scene.random.choice(TIME_ZONES)
    with scene.connection(SUPERUSER) as connection:
        connection.execute(
            sql.SQL("alter database postgres set timezone = {}").format(sql.Literal(zone))
        )
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename in ('authenticator', 'webhook_app')"
        )


FAULTS: tuple[Fault, ...] = (
    kill_a_backend,
    kill_postgres,
    kill_a_webhook_worker,
    kill_postgrest,
    cut_off_a_listener,
    stop_the_sweep,
    use_up_the_connections,
    lock_the_table,
    turn_the_flag,
    suspend_a_mechanic,
    delete_a_mechanic,
    delete_a_customer,
    sweep_twice_at_once,
    provoke_deadlocks,
    change_the_time_zone,
)
