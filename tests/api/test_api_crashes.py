"""Processes killed in the middle of a storm of events: what was acknowledged is there, once."""

import os
import signal
import threading
import time
from pathlib import Path

import psycopg

from stack.services import Stack
from stack.temporary import temporary_stack
from tests.api.world import World, storm
from tests.database import eventually


def workers(stack: Stack) -> list[int]:
    (webhook,) = (service for service in stack.services if service.name == "webhook")
    assert webhook.process
    pid = webhook.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_killed_workers(stack: Stack, world: World) -> None:
    def trouble() -> None:
        for _ in range(5):
            time.sleep(0.3)
            os.kill(eventually(lambda: workers(stack))[0], signal.SIGKILL)
        time.sleep(0.3)

    acknowledged = storm(stack.env, world.metadata(world.customer()), trouble)
    assert len(acknowledged) >= 10
    assert world.is_whole(acknowledged)
    assert eventually(lambda: len(workers(stack)) == 2)


def test_killed_postgres() -> None:
    """A backend first, then the whole server; the supervisor's `tend` starts it again.

    Without fsync: what a killed process has written is the kernel's to keep. With it, recovery
    first flushes every file, and whatever else the machine is writing.
    """
    over = threading.Event()
    with temporary_stack() as stack:
        cluster = stack.cluster
        assert cluster

        def tend() -> None:
            while not over.wait(0.2):
                stack.tend()

        def back() -> bool:
            try:
                psycopg.connect(cluster.dsn(), connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        def trouble() -> None:
            backend = psycopg.connect(cluster.dsn())
            time.sleep(0.7)
            os.kill(backend.info.backend_pid, signal.SIGKILL)
            time.sleep(0.2)
            eventually(back)
            time.sleep(0.7)
            server = cluster.server_pid
            assert server
            os.kill(server, signal.SIGKILL)
            time.sleep(0.2)
            eventually(back)
            time.sleep(0.7)

        tending = threading.Thread(target=tend)
        tending.start()
        try:
            with World(stack.env) as world:
                metadata = world.metadata(world.customer())
            acknowledged = storm(stack.env, metadata, trouble)
            assert len(acknowledged) >= 10
            for service in stack.services:  # PostgREST reads the schema anew after the restart
                service.wait_ready()
            with World(stack.env) as world:
                assert world.is_whole(acknowledged)
                carla, frank, mona = world.customer(), world.mechanic(), world.mechanic()
                request_id = world.book(carla, frank)
                assert frank.may_take(request_id) and not mona.may_take(request_id)
        finally:
            over.set()
            tending.join()
