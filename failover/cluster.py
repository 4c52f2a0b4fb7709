"""The cluster of this folder on one machine's loopback addresses, and the stack's apps on it."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psycopg

from stack import ROOT
from stack.install import install, install_webhook_role
from stack.network import free_ports, listens
from stack.postgres import AS_POSTGRES, SUPERUSER, run_psql
from stack.services import (
    Service,
    load_secrets,
    nginx,
    postgrest,
    webhook,
)

HERE = Path(__file__).parent
# What a team puts on its machines; the cluster here runs these very files.
FILES = ("start", "sweep_now", "patroni.yml", "haproxy.cfg", "pgbouncer.ini")
STAND_IN = ("supabase_roles.sql", "supabase.sql")
# From nothing, or for a machine that comes back: a copy of the data may be part of it.
PATIENCE = 120


class Machine:
    """One of the three: etcd, Patroni, and the PostgreSQL that this starts."""

    def __init__(self, number: int, directory: Path, settings: Mapping[str, str]) -> None:
        self.name = f"node{number}"
        self.address = settings[f"NODE{number}"]
        self.directory = directory / self.name
        own(self.directory)
        environment = {**settings, "NODE": str(number), "STATE": str(self.directory)}
        self.etcd = part("etcd", directory, self.directory, environment, self.answers_etcd)
        self.patroni = part("patroni", directory, self.directory, environment, self.is_running)
        self.log_begins = 0
        self.http = httpx.Client(
            base_url=f"http://{self.address}:8008",
            auth=("patroni", settings["RESTAPI_PASSWORD"]),
            timeout=2,
        )

    def answers_etcd(self) -> bool:
        return listens(2379, self.address)

    def start(self) -> None:
        self.log_begins = self.patroni.log.stat().st_size if self.patroni.log.exists() else 0
        self.etcd.start()
        self.patroni.start()

    @property
    def was_rewound(self) -> bool:
        """Whether pg_rewind has made it a replica since its last start."""
        return "pg_rewind exit code=0" in self.patroni.log.read_text()[self.log_begins :]

    def asks(self, path: str) -> bool:
        """Patroni's answer to whether its PostgreSQL is this."""
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def is_primary(self) -> bool:
        return self.asks("/primary")

    def is_running(self) -> bool:
        return self.asks("/health")

    def postgres_pids(self) -> list[int]:
        """The postmaster's, and its children's."""
        try:
            postmaster = int((self.directory / "data/postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        except (OSError, IndexError):
            return []
        return [postmaster, *map(int, children.split())]

    def cut_off(self) -> None:
        """Nothing reaches the replicas any more; clients are still served."""
        for pid in self.postgres_pids():
            with suppress(OSError):
                if b"walsender" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGSTOP)

    def lose(self) -> None:
        """All of it ends at once, as when the power goes."""
        pids = self.postgres_pids()
        self.patroni.kill()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.etcd.kill()


class Cluster:
    """Three machines, an application server's HAProxy and PgBouncer, and the apps.

    `env` is as a `stack.services.Stack` has it.
    """

    def __init__(self, directory: Path, report: Callable[[str], None] = lambda _: None) -> None:
        self.directory, self.report = directory, report
        for name in FILES:
            shutil.copy(HERE / name, directory / name)
        # Ports are as in production; the addresses are this run's own.
        network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
        self.passwords = {
            f"{name}_PASSWORD": secrets.token_hex(24)
            for name in ("SUPERUSER", "REPLICATION", "RESTAPI", "WEBHOOK", "OWNER", "AUTHENTICATOR")
        }
        settings = {
            "FRONT": f"{network}.10",
            **{f"NODE{number}": f"{network}.1{number}" for number in (1, 2, 3)},
            **self.passwords,
        }
        self.front = settings["FRONT"]
        self.machines = [Machine(number, directory, settings) for number in (1, 2, 3)]
        self.services: list[Service] = []
        self.settings = settings
        self.synchronous = True
        self.env: dict[str, str] = {}

    def start(self) -> None:
        self.report("Starting three machines with etcd and Patroni")
        for machine in self.machines:
            machine.start()
        self.wait_whole()
        primary = self.require_primary()
        self.report(f"Installing the SQL on {primary.name}")
        self.install(primary)
        self.report("Starting HAProxy, PgBouncer, PostgREST, nginx and the webhook app")
        self.start_front()

    def install(self, primary: Machine) -> None:
        superuser = self.dsn(SUPERUSER, primary.address)
        for file in STAND_IN:
            run_psql(superuser, "-1", "-f", str(ROOT / "stack" / file))
        run_psql(superuser, "-f", str(ROOT / "stack/realtime_partitions.sql"))
        for role, name in (("postgres", "OWNER"), ("authenticator", "AUTHENTICATOR")):
            self.set_password(superuser, role, name)
        owner = self.dsn("postgres", primary.address)
        install(owner)
        install_webhook_role(owner)
        self.set_password(superuser, "webhook_app", "WEBHOOK")
        run_psql(owner, "-c", "select dispatch.set_favorites_priority(true)", "-o", "/dev/null")

    def set_password(self, dsn: str, role: str, name: str) -> None:
        run_psql(dsn, "-c", f"alter role {role} password '{self.passwords[f'{name}_PASSWORD']}'")

    def start_front(self) -> None:
        home = self.directory / "front"
        own(home)
        here = {**self.settings, "STATE": str(home)}
        keys = load_secrets(self.directory / "secrets.json")
        api, dashboard, inner, webhook_port, app_port, unused = free_ports(0, 0, 0, 0, 0, 0)
        front = self.front
        self.services = [
            part("haproxy", self.directory, home, here, lambda: self.answers(5000)),
            part("pgbouncer", self.directory, home, here, lambda: listens(6432, front)),
            postgrest(self.directory, self.dsn("authenticator"), inner, keys["JWT_SECRET"]),
            nginx(
                self.directory,
                api,
                dashboard,
                webhook_port=webhook_port,
                postgrest_port=inner,
                function_port=unused,
                webhook_app_port=app_port,
                hub_port=unused,
                anon_key=keys["SUPABASE_ANON_KEY"],
            ),
            webhook(
                self.directory,
                self.dsn("webhook_app", port=6432),
                app_port,
                keys["STRIPE_WEBHOOK_SECRET"],
            ),
        ]
        for service in self.services:
            service.start()
            service.wait_ready()
        self.env = {
            "DATABASE_URL": self.dsn("postgres"),
            "SUPABASE_URL": f"http://127.0.0.1:{api}",
            "WEBHOOK_URL": f"http://127.0.0.1:{webhook_port}",
            **keys,
        }

    def dsn(self, user: str, host: str | None = None, port: int | None = None) -> str:
        """By way of HAProxy to the primary, or to this machine."""
        names = {
            SUPERUSER: "SUPERUSER",
            "postgres": "OWNER",
            "authenticator": "AUTHENTICATOR",
            "webhook_app": "WEBHOOK",
        }
        password = self.passwords[f"{names[user]}_PASSWORD"]
        where = f"{host or self.front}:{port or (5432 if host else 5000)}"
        # HAProxy 3.0 may keep a client whom it could not connect, and say nothing to it.
        return f"postgresql://{user}:{password}@{where}/postgres?connect_timeout=5"

    def answers(self, port: int) -> bool:
        try:
            psycopg.connect(self.dsn("postgres", self.front, port), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def primary(self) -> Machine | None:
        return next((machine for machine in self.machines if machine.is_primary()), None)

    def require_primary(self) -> Machine:
        primary = self.primary()
        if primary is None:
            raise RuntimeError("there is no primary")
        return primary

    def replicas(self) -> dict[str, bool]:
        """Who follows the primary, as the primary says, and whether commits wait for them."""
        primary = self.primary()
        if primary is None:
            return {}
        query = (
            "select application_name, sync_state = 'sync' from pg_stat_replication"
            " where state = 'streaming'"
        )
        try:
            with psycopg.connect(self.dsn(SUPERUSER, primary.address), connect_timeout=2) as each:
                return dict(each.execute(query).fetchall())
        except psycopg.OperationalError:
            return {}

    def is_whole(self) -> bool:
        replicas = self.replicas()
        return len(replicas) == 2 and any(replicas.values()) == self.synchronous

    def wait_whole(self) -> None:
        """Until both replicas follow, one of them synchronously."""
        self.wait(self.is_whole, "two replicas")

    def replicate_asynchronously(self) -> None:
        """As Patroni does by default: what this cluster must not do."""
        primary = self.require_primary()
        wishes = {"synchronous_mode": False, "synchronous_mode_strict": False}
        primary.http.patch("/config", json=wishes).raise_for_status()
        self.synchronous = False
        self.wait_whole()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {PATIENCE} s: {what}; see {self.directory}")
            time.sleep(0.2)

    def stop(self) -> None:
        for service in reversed(self.services):
            service.stop()
        for machine in self.machines:
            machine.lose()
            machine.http.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def part(
    name: str,
    program: Path,
    state: Path,
    settings: Mapping[str, str],
    ready: Callable[[], bool],
) -> Service:
    """What `start` runs on one machine."""
    argv = [*AS_POSTGRES, str(program / "start"), name]
    return Service(name, state, argv, ready, settings)


def own(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    if AS_POSTGRES:
        shutil.chown(directory, "postgres", "postgres")
