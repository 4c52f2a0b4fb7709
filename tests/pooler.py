"""PgBouncer in transaction mode, before a test's database."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stack.network import free_ports
from stack.postgres import AS_POSTGRES
from tests.database import eventually


@contextmanager
def pooled(dsn: str) -> Iterator[str]:
    """This DSN by way of PgBouncer, which has two server connections for all clients."""
    server = conninfo_to_dict(dsn)
    (port,) = free_ports(0)
    directory = Path(tempfile.mkdtemp(prefix="favorites-pooler-"))
    (directory / "users.txt").write_text(f'"{server["user"]}" ""\n')
    (directory / "pooler.ini").write_text(
        "[databases]\n"
        f"* = host={server['host']} port={server['port']}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {directory}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    if AS_POSTGRES:  # PgBouncer refuses to run as root, too
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    with subprocess.Popen(
        [*AS_POSTGRES, "/usr/sbin/pgbouncer", "-q", str(directory / "pooler.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as pooler:
        through = make_conninfo(dsn, port=port)

        def answers() -> bool:
            try:
                psycopg.connect(through, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            eventually(answers)
            yield through
        finally:
            pooler.kill()  # from 1.23 on it waits for its clients after SIGTERM
    shutil.rmtree(directory)
