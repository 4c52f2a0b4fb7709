"""The database that is measured: the project installed in it, the flag on, people and history."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from bench.measure import SQL, Size
from stack.install import cron_command, install
from stack.postgres import SUPERUSER, Cluster, run_psql

# Sized as a DBA would, so that neither side waits for reads or checkpoints.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "500"}
CUSTOMER = "00000000-0000-4000-8000-000000001001"
MECHANIC = "00000000-0000-4000-8000-000000000001"
TABLES = (
    "auth.users, public.mechanics, public.session_requests, dispatch.request_events,"
    " dispatch.stripe_events, bench.mechanics, bench.session_requests, bench.log, bench.ledger"
)
REPORTED = ("server_version", "fsync", "synchronous_commit", "wal_level", *SETTINGS)

Connection = psycopg.Connection[Any]


class Database:
    """A database with people in it, and bare tables to compare with (`bench/sql/schema.sql`)."""

    def __init__(self, cluster: Cluster, size: Size, name: str = "postgres") -> None:
        self.cluster, self.size, self.name = cluster, size, name
        self.dsn = cluster.dsn(dbname=name)
        self._opened: list[Connection] = []
        self.owner = self.connect()
        self.superuser = self.connect(SUPERUSER)

    def connect(self, user: str = "postgres", *, options: str = "") -> Connection:
        dsn = self.cluster.dsn(user, self.name)
        connection: Connection = psycopg.connect(dsn, autocommit=True, options=options)
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    def run(self, query: str, *params: object, as_superuser: bool = False) -> list[Any]:
        cursor = (self.superuser if as_superuser else self.owner).execute(
            query.encode(), params or None
        )
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *params: object) -> Any:
        ((answer,),) = self.run(query, *params)
        return answer

    def fill(self, query: str, *params: object) -> None:
        """Write many rows without triggers and foreign keys, as a restore does."""
        self.run("set session_replication_role = replica", as_superuser=True)
        self.run(query, *params, as_superuser=True)
        self.run("reset session_replication_role", as_superuser=True)

    def prepare(self, *, history: int = 0, broadcast: bool = False) -> None:
        """Fill a database that has the project and nothing else."""
        if not broadcast:
            self.drop_realtime()
        run_psql(self.dsn, "-f", str(SQL / "schema.sql"))
        if history:
            superuser = self.cluster.dsn(SUPERUSER, self.name)
            count = f"count={self.size.of(history)}"
            run_psql(superuser, "-v", count, "-f", str(SQL / "history.sql"))
        self.run("select dispatch.set_favorites_priority(true)")
        self.vacuum()

    def drop_realtime(self) -> None:
        """Leave plain PostgreSQL: a bare INSERT broadcasts nothing, and like goes with like."""
        self.run("drop schema realtime cascade", as_superuser=True)

    @contextmanager
    def realtime_hidden(self) -> Iterator[None]:
        self.run("alter schema realtime rename to realtime_hidden", as_superuser=True)
        yield
        self.run("alter schema realtime_hidden rename to realtime", as_superuser=True)

    def vacuum(self) -> None:
        self.run(f"vacuum analyze {TABLES}", as_superuser=True)

    def slow_flush(self, on: bool) -> None:
        """Have each commit wait 1 ms, as on a network disk; from each session's next start on."""
        for setting in (f"commit_delay = {1000 if on else 0}", "commit_siblings = 0"):
            self.run(f"alter database {self.name} set {setting}", as_superuser=True)

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """pg_cron's loop runs: begun by hand now, since pg_cron waits for a full minute."""
        command = cron_command(self.cluster.dsn(), "dispatch-sweep").encode()
        connection = self.connect()
        over = threading.Event()
        pg_cron_goes_on = self.has_pg_cron

        def sweep() -> None:
            with suppress(psycopg.errors.QueryCanceled):
                while not over.is_set():
                    connection.execute(command)
                    if pg_cron_goes_on:
                        return

        thread = threading.Thread(target=sweep)
        thread.start()
        try:
            yield
        finally:
            over.set()
            connection.cancel_safe()
            thread.join()

    @property
    def has_pg_cron(self) -> bool:
        return bool(self.run("select 1 from pg_extension where extname = 'pg_cron'"))

    def wait_for_pg_cron(self) -> None:
        """Until only its loop runs: from a run's end on, each minute has one change of runs."""
        while not self.run("select 1 from cron.job_run_details where status = 'succeeded'"):
            time.sleep(0.1)

    @contextmanager
    def pg_cron_paused(self) -> Iterator[None]:
        """Its job neither runs nor begins."""
        jobs = self.run("select jobid from cron.job") if self.has_pg_cron else []
        for job in jobs:
            self.run("select cron.alter_job(%s, active => false)", *job)
        self.end_pg_cron_runs()
        yield
        for job in jobs:
            self.run("select cron.alter_job(%s, active => true)", *job)

    def end_pg_cron_runs(self) -> None:
        if self.has_pg_cron:
            self.run(
                "select pg_terminate_backend(job_pid) from cron.job_run_details"
                " where status = 'running'",
                as_superuser=True,
            )

    def settings(self) -> dict[str, str]:
        return {name: self.value("select current_setting(%s)", name) for name in REPORTED}


def acting_as(user: str) -> str:
    """PGOPTIONS with which a connection is this signed-in user's, as PostgREST makes it."""
    claims = json.dumps({"sub": user, "role": "authenticated"}, separators=(",", ":"))
    return f"-c role=authenticated -c request.jwt.claims={claims}"


def user_id(number: int) -> str:
    """Mechanics are 1 to 1,000, customers 1,001 to 11,000."""
    return f"00000000-0000-4000-8000-{number:012}"


@contextmanager
def own_cluster(size: Size) -> Iterator[Database]:
    """A cluster for one subject, so that nothing that another left behind slows it."""
    cluster = Cluster(fsync=True, settings=SETTINGS)
    try:
        install(cluster.dsn())
        database = Database(cluster, size)
        try:
            yield database
        finally:
            database.close()
    finally:
        cluster.stop()
