"""What goes wrong: each function is one fault, from its beginning to its end."""

import errno
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from chaos import listeners
from chaos.record import Intervention
from chaos.threads import Threads
from chaos.workload import Backend, Customer, Mechanic, World
from stack.clients import add_mechanic, add_user
from stack.postgres import SUPERUSER
from stack.proxy import Proxy
from stack.push_service import Answer, PushService, taken
from stack.services import Service, Stack

Connection = psycopg.Connection[Any]
# No fault waits for ever.
PATIENCE = "-c lock_timeout=5s -c statement_timeout=20s"
PLAN = {"plan_code": "quick-chat", "routing_type": "broadcast"}
TIME_ZONES = ("UTC", "Pacific/Apia", "America/St_Johns", "Europe/Berlin")


@dataclass
class Scene:
    stack: Stack
    world: World
    random: random.Random
    phones: PushService
    over: threading.Event  # set when the run ends, which the long faults do not outlast

    @contextmanager
    def connection(self, user: str = "postgres") -> Iterator[Connection]:
        assert self.stack.cluster
        dsn = self.stack.cluster.dsn(user)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5, options=PATIENCE) as each:
            yield each

    def service(self, name: str) -> Service:
        return next(each for each in self.stack.services if each.name == name)

    @property
    def network(self) -> Proxy:
        assert self.stack.network
        return self.stack.network

    def wait(self, least: float, most: float) -> None:
        self.over.wait(self.random.uniform(least, most))

    @contextmanager
    def intervention(self, kind: str, subject: str | None = None) -> Iterator[None]:
        began, done = time.time(), False
        try:
            yield
            done = True
        finally:
            self.world.record.interventions.append(
                Intervention(kind, subject, began, time.time(), done)
            )


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


def kill_the_listeners(scene: Scene) -> None:
    if process := scene.service(listeners.NAME).process:
        kill(process.pid)


def cut_off_a_listener(scene: Scene) -> None:
    with scene.connection(SUPERUSER) as connection:
        pids = connection.execute(
            "select pid from pg_stat_activity where application_name = %s order by pid",
            [listeners.NAME],
        ).fetchall()
        if pids:
            connection.execute("select pg_terminate_backend(%s)", scene.random.choice(pids))


def lose_the_network(scene: Scene) -> None:
    """Every connection to the database breaks off, and no other comes about for a while."""
    scene.network.close()
    try:
        scene.wait(0.2, 6)
    finally:
        scene.network.open()


def stall_the_network(scene: Scene) -> None:
    """Nothing arrives and nobody is told. Then all of it does, or the connections are gone."""
    scene.network.stall()
    try:
        scene.wait(0.5, 8)
        if scene.random.random() < 0.5:
            scene.network.cut()
    finally:
        scene.network.resume()


def kill_a_sender(scene: Scene) -> None:
    sender = scene.random.choice([e for e in scene.stack.services if e.name.startswith("sender")])
    if sender.process:
        kill(sender.process.pid)


def trouble_the_push_service(scene: Scene) -> None:
    """It is down, busy, or says nothing."""
    answers: tuple[Answer, ...] = ((503, {}), (429, {"Retry-After": "1"}), None)
    answer = scene.random.choice(answers)
    scene.phones.answer = lambda _: answer
    scene.wait(0.5, 4)
    scene.phones.answer = taken


def fill_the_disk(scene: Scene) -> None:
    """Of the database alone. Every other time the WAL, too, needs what there is no more."""
    ballast = scene.stack.directory / "postgres/ballast"
    with ballast.open("wb") as file:
        try:
            fill(file.fileno())
            if scene.random.random() < 0.5:
                use_up_the_wal(scene)
            for _ in range(10):
                scene.wait(0.1, 0.5)
                fill(file.fileno())
        finally:
            ballast.unlink()


def fill(file: int) -> None:
    """To the last block, what was freed meanwhile included."""
    size = 1 << 30
    while size >= 1 << 12:
        try:
            os.posix_fallocate(file, os.fstat(file).st_size, size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2


def use_up_the_wal(scene: Scene) -> None:
    """Until the server, which cannot write it, stops."""
    with suppress(psycopg.OperationalError), scene.connection(SUPERUSER) as connection:
        for _ in range(100):
            connection.execute("select pg_logical_emit_message(false, 'chaos', 'x')")
            connection.execute("select pg_switch_wal()")


def stop_pg_cron(scene: Scene) -> None:
    """For minutes: its jobs are inactive, and the loop under way is ended."""
    try:
        until_done(lambda: end_the_sweep(scene))
        scene.wait(60, 150)
    finally:
        until_done(lambda: activate_again(scene))


def end_the_sweep(scene: Scene) -> None:
    with scene.connection(SUPERUSER) as connection:
        activate(connection, on=False)
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where query like '%dispatch.sweep_round%' and pid <> pg_backend_pid()"
        )


def activate(connection: Connection, *, on: bool) -> None:
    connection.execute(
        "select cron.alter_job(jobid, active => %s) from cron.job"
        " where jobname in ('dispatch-sweep', 'dispatch-start')",
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


def exhaust_the_pools(scene: Scene) -> None:
    """More callers than PostgREST and the webhook app have connections wait for the same locks."""
    world = scene.world
    paid = world.stripe.pay(world.customers[0], {"customer_id": world.customers[0], **PLAN})
    payment = paid["data"]["object"]["payment_intent"]
    request = reserve(scene, world.customers[0], world.mechanics[0])
    with ExitStack() as ends:
        people = [
            ends.enter_context(closing(Mechanic(world, user))) for user in world.mechanics * 4
        ]
        pool = ends.enter_context(ThreadPoolExecutor(50))
        connection = ends.enter_context(scene.connection())
        calls = []
        with connection.transaction():
            connection.execute(
                "select from public.session_requests where id = %s for update", [request]
            )
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%s, 1178687058))", [payment]
            )
            if request:
                calls += [
                    pool.submit(each.rpc, "accept", "accept_session_request", request_id=request)
                    for each in people
                ]
            calls += [pool.submit(world.stripe.post, paid, world.customers[0]) for _ in range(20)]
            scene.wait(1, 12)
        for call in calls:
            call.result()


def lock_the_table(scene: Scene) -> None:
    with scene.connection() as connection, connection.transaction():
        connection.execute("lock table public.session_requests in access exclusive mode")
        scene.wait(0.5, 8)


def turn_the_flag(scene: Scene) -> None:
    try:
        with scene.connection() as connection:
            with scene.intervention("flag off"):
                connection.execute("select dispatch.set_favorites_priority(false)")
            scene.wait(0.1, 1)
    finally:
        until_done(lambda: turn_on(scene))


def turn_on(scene: Scene) -> None:
    with scene.connection() as connection, scene.intervention("flag on"):
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
    """A user who acts like the others, has windows open, and may go meanwhile."""
    world = scene.world
    with scene.connection() as connection:
        user = add_mechanic(connection, "Max") if kind is Mechanic else add_user(connection)
    before = world.favourites
    with closing(kind(world, user)) as person, Threads() as acting:
        try:
            if kind is Mechanic:
                world.favourites = (*before, user, user)
            acting.repeat(person.act, 0.05)
            scene.wait(0.5, 2)
            for each in world.mechanics[:3]:
                if kind is Mechanic:
                    reserve(scene, scene.random.choice(world.customers), user)
                else:
                    reserve(scene, user, each)
            yield user
            scene.wait(0.2, 0.5)
        finally:
            world.favourites = before


def reserve(scene: Scene, customer: str, favourite: str) -> str | None:
    """A request with an hour's window, if it can be had."""
    with closing(Backend(scene.world, "", "service_role")) as backend:
        return backend.insert(customer, favourite, priority_window_minutes=60)


def suspend_a_mechanic(scene: Scene) -> None:
    with newcomer(scene, Mechanic) as user:
        until_done(lambda: suspend(scene, user))


def block_a_mechanic(scene: Scene) -> None:
    """One customer does, for good; or the mechanic the customer."""
    with newcomer(scene, Mechanic) as user:
        customer = scene.random.choice(scene.world.customers)
        pair = [customer, user]
        scene.random.shuffle(pair)
        until_done(lambda: block(scene, customer, user, *pair))
        scene.wait(0.5, 3)


def block(scene: Scene, customer: str, mechanic: str, by: str, other: str) -> None:
    with scene.connection() as connection, scene.intervention("blocked", f"{customer} {mechanic}"):
        connection.execute("select dispatch.set_block(%s, %s, true)", [by, other])


def limit_open_sessions(scene: Scene) -> None:
    count = scene.random.choice((1, 2, 5))
    try:
        set_limit(scene, count)
        scene.wait(1, 6)
    finally:
        until_done(lambda: set_limit(scene, None))


def set_limit(scene: Scene, count: int | None) -> None:
    kind = "limited" if count else "unlimited"
    with scene.connection() as connection, scene.intervention(kind, str(count or "")):
        connection.execute("select dispatch.set_max_open_sessions(%s)", [count])


def delete_a_mechanic(scene: Scene) -> None:
    with newcomer(scene, Mechanic) as user:
        until_done(lambda: delete(scene, user))


def delete_a_mechanic_at_the_accept(scene: Scene) -> None:
    """The two wait for each other, and the server ends one of them."""
    with newcomer(scene, Mechanic) as user, ExitStack() as ends:
        requests = [reserve(scene, each, user) for each in scene.world.customers]
        people = [
            ends.enter_context(closing(Mechanic(scene.world, user))) for each in requests if each
        ]
        pool = ends.enter_context(ThreadPoolExecutor())
        calls = [
            pool.submit(person.rpc, "accept", "accept_session_request", request_id=request)
            for person, request in zip(people, filter(None, requests), strict=True)
        ]
        until_done(lambda: delete(scene, user))
        for call in calls:
            call.result()


def delete_a_customer(scene: Scene) -> None:
    with newcomer(scene, Customer) as user:
        until_done(lambda: delete(scene, user))


def suspend(scene: Scene, user: str) -> None:
    with scene.connection() as connection, scene.intervention("suspended", user):
        connection.execute("update public.mechanics set status = 'suspended' where id = %s", [user])


def delete(scene: Scene, user: str) -> None:
    with scene.connection() as connection, scene.intervention("deleted", user):
        connection.execute("delete from auth.users where id = %s", [user])


def sell_an_unknown_plan(scene: Scene) -> None:
    """Stripe has it before the database; somebody adds it there and replays what failed."""
    world, plan = scene.world, f"plan-{uuid.uuid4().hex[:8]}"
    customer = world.customers[0]
    paid = world.stripe.pay(customer, {"customer_id": customer, "plan_code": plan})
    scene.wait(0.5, 2)
    until_done(lambda: add_plan(scene, plan))
    with scene.connection() as connection:
        connection.execute(
            "select dispatch.replay_stripe_event(id) from dispatch.stripe_events where id = %s",
            [paid["id"]],
        )


def add_plan(scene: Scene, plan: str) -> None:
    with scene.connection() as connection, scene.intervention("plan added", plan):
        connection.execute(
            "insert into public.service_plans (code, title, session_type, price_cents, currency)"
            " select %s, title, session_type, price_cents, currency from public.service_plans"
            " where code = 'quick-chat' on conflict do nothing",
            [plan],
        )


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
    kill_the_listeners,
    cut_off_a_listener,
    kill_a_sender,
    trouble_the_push_service,
    lose_the_network,
    stall_the_network,
    fill_the_disk,
    use_up_the_connections,
    exhaust_the_pools,
    lock_the_table,
    turn_the_flag,
    block_a_mechanic,
    limit_open_sessions,
    suspend_a_mechanic,
    delete_a_mechanic,
    delete_a_mechanic_at_the_accept,
    delete_a_customer,
    sell_an_unknown_plan,
    sweep_twice_at_once,
    provoke_deadlocks,
    change_the_time_zone,
)
# Under which the others happen.
LONG_FAULTS: tuple[Fault, ...] = (stop_pg_cron,)
