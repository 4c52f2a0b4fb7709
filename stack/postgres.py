"""A private PostgreSQL that looks like a hosted Supabase project."""

import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import psycopg
from psycopg import sql
from testing.postgresql import Postgresql

from stack.network import free_ports

HERE = Path(__file__).resolve().parent
INSTALLED = Path("/usr/lib/postgresql")  # in a directory for each version
SUPERUSER = "supabase_admin"
# PostgreSQL refuses to run as root. setpriv execs, so the child's pid is the postmaster's.
AS_POSTGRES = (
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
    if os.geteuid() == 0
    else []
)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # The path of a socket may be too long in a deep directory, so there is none.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "max_connections": "300",
    "max_worker_processes": "20",
    "wal_level": "logical",
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
}


def output_plugins(postgres: str) -> dict[str, str]:
    """Let wal2json be used, by which Realtime reads table changes, where it must be allowed first.

    PostgreSQL 15.19, 17.11 and newer have a setting for that, which older ones do not know.
    """
    command = [postgres, "--describe-config"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name = "output_plugin_libraries"
    is_known = any(line.startswith(f"{name}\t") for line in known.splitlines())
    return {name: "pgoutput, test_decoding, wal2json"} if is_known else {}


def binary(name: str) -> str:
    """The path of one of the newest installed PostgreSQL's programs."""
    # Of a newer one the client alone may be there.
    servers = [
        path for path in INSTALLED.glob("*/bin/postgres") if path.parent.parent.name.isdigit()
    ]
    newest = max(servers, key=lambda path: int(path.parent.parent.name), default=None)
    if newest is None:
        raise RuntimeError("PostgreSQL is not installed: run `make setup`")
    return str(newest.with_name(name))


def run_psql(dsn: str, *arguments: str) -> str:
    """Run psql, stopping at the first error; what it prints."""
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, *arguments]
    environment = os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        raise RuntimeError(f"psql {' '.join(arguments)} failed:\n{result.stderr.strip()}")
    return result.stdout


class Cluster(Postgresql):
    """PostgreSQL with pg_cron and the Supabase stand-in, started when made.

    With `base_dir` the data stays there; without, it is gone after `stop`. Every new database
    (`create_database`) has the stand-in too, except pg_cron, which lives in `postgres` only.
    """

    # Where the data of a new cluster may be copied from, which is quicker than to make them.
    prepared: ClassVar[Callable[[], Path] | None] = None

    DEFAULT_BOOT_TIMEOUT = 60.0  # a crash is recovered from first
    subdirectories = ()

    def __init__(
        self,
        base_dir: Path | None = None,
        *,
        port: int | None = None,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = base_dir is None
        self._administrators: dict[int, psycopg.Connection[Any]] = {}
        directory = (
            tempfile.mkdtemp(prefix="favorites-") if base_dir is None else data_home(base_dir)
        )
        if AS_POSTGRES:
            shutil.chown(directory, "postgres", "postgres")
        self._configuration = {
            **SETTINGS,
            **output_plugins(binary("postgres")),
            "fsync": "on" if fsync else "off",
            **(settings or {}),
        }
        super().__init__(base_dir=str(directory), port=port or free_ports(0)[0])

    def dsn(
        self, user: str = "postgres", dbname: str = "postgres", *, port: int | None = None
    ) -> str:
        return f"postgresql://{user}@127.0.0.1:{port or self.settings['port']}/{dbname}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database owned by postgres, as a copy of another, and return its dsn."""
        self._administrator(0).execute(
            # (Of so small a database the files are copied in half the time of its blocks.)
            sql.SQL("create database {} owner postgres template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.dsn(dbname=name)

    def drop_database(self, name: str) -> None:
        # Only a superuser may end a superuser's connection that is still closing.
        with self.pg_cron_listens():
            self._administrator(0).execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )

    def _administrator(self, number: int) -> psycopg.Connection[Any]:
        """A superuser's connection, kept for the next time; the second for what is done meanwhile.

        To connect is as much work as to drop a database."""
        connection = self._administrators.get(number)
        if connection is None or connection.closed:
            connection = psycopg.connect(self.dsn(SUPERUSER), autocommit=True)
            self._administrators[number] = connection
        return connection

    def _let_go(self) -> None:
        for connection in self._administrators.values():
            connection.close()
        self._administrators.clear()

    @contextmanager
    def pg_cron_listens(self) -> Iterator[None]:
        """`drop database` asks every process, and before 1.6.3 pg_cron's does not look up from the
        jobs that it waits for; it does when its settings are loaded again."""
        done = Event()

        def load_again() -> None:
            while not done.wait(0.02):
                self._administrator(1).execute("select pg_reload_conf()")

        thread = Thread(target=load_again)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def make_partitions(self) -> None:
        """Make the day partitions without which `realtime.send` loses every message."""
        for dbname in ("template1", "postgres"):
            run_psql(self.dsn(SUPERUSER, dbname), "-f", str(HERE / "realtime_partitions.sql"))

    def restart(self) -> None:
        """Start again after a crash."""
        self.child_process = None
        self._let_go()
        # A start that fails stops the cluster, and must not take the data with it.
        temporary, self._temporary = self._temporary, False
        try:
            self.start()
        finally:
            self._temporary = temporary

    # What follows is called by the base class.

    def initialize(self) -> None:
        self.postgres = binary("postgres")

    def initialize_database(self) -> None:
        data = Path(self.get_data_directory())
        if data.exists():
            return
        # Renamed when complete, so that an interrupted initdb is not taken for a cluster.
        unfinished = data.with_name("data.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        if Cluster.prepared:
            # Keeps whose they are.
            command = ["cp", "-a", str(Cluster.prepared()), str(unfinished)]
        else:
            command = [*AS_POSTGRES, binary("initdb"), "-D", str(unfinished), "-U", SUPERUSER]
            command += ["-A", "trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        result = subprocess.run(command, capture_output=True, text=True, cwd="/")
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr.strip()}")
        unfinished.rename(data)

    def get_server_commandline(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self._configuration.items()]
        command = [*AS_POSTGRES, self.postgres, "-D", self.get_data_directory()]
        return [*command, "-p", str(self.settings["port"]), *settings]

    def is_server_available(self) -> bool:
        try:
            psycopg.connect(self.dsn(SUPERUSER), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def poststart(self) -> None:
        # Each file is one transaction, so that its first object stands for the whole of it.
        if not self._finds("select from pg_roles where rolname = 'authenticator'"):
            self._run("postgres", "supabase_roles.sql")
        for dbname in ("template1", "postgres"):
            if not self._finds("select from pg_namespace where nspname = 'realtime'", dbname):
                self._run(dbname, "supabase.sql")
        self.make_partitions()

    def cleanup(self) -> None:
        # The base class also calls this when a start fails, and the data must outlive that.
        pass

    def stop(self, *_: object) -> None:
        """Stop at once, cleanly: clients are disconnected, what they committed is kept."""
        self._let_go()
        self.terminate()
        if self._temporary and self._owner_pid == os.getpid():
            shutil.rmtree(self.base_dir, ignore_errors=True)

    def _finds(self, query: str, dbname: str = "postgres") -> bool:
        with psycopg.connect(self.dsn(SUPERUSER, dbname)) as connection:
            return connection.execute(query.encode()).fetchone() is not None

    def _run(self, dbname: str, file: str) -> None:
        run_psql(self.dsn(SUPERUSER, dbname), "-1", "-f", str(HERE / file))


def data_home(path: Path) -> Path:
    """Make `path`, or, where user postgres cannot reach it, a link there to a place he can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and not path.is_symlink() and AS_POSTGRES:
        reach = [*AS_POSTGRES, "test", "-x", str(path.parent)]
        if subprocess.run(reach).returncode != 0:
            name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
            path.symlink_to(f"/var/tmp/favorites-priority-{name}")  # noqa: S108
    home = path.resolve()
    home.mkdir(mode=0o700, exist_ok=True)
    if home.owner() not in ("postgres", getpass.getuser()):
        raise RuntimeError(f"{home} belongs to {home.owner()}")
    return home
