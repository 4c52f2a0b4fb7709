"""Through a pooler in transaction mode: each transaction may get another server connection."""

import json
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from webhook_support import PATH, Metadata, Requests, checkout, client_for, session_id, signed

from stack.network import free_ports
from stack.postgres import AS_POSTGRES
from tests.database import eventually


@pytest.fixture
def pooled_dsn(webhook_dsn: str) -> Iterator[str]:
    """The app's DSN by way of PgBouncer, which has two server connections for all clients."""
    server = conninfo_to_dict(webhook_dsn)
    (port,) = free_ports(0)
    directory = Path(tempfile.mkdtemp(prefix="favorites-pooler-"))
    (directory / "users.txt").write_text('"webhook_app" ""\n')
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
        dsn = make_conninfo(webhook_dsn, port=port)

        def answers() -> bool:
            try:
                psycopg.connect(dsn, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            eventually(answers)
            yield dsn
        finally:
            pooler.kill()  # from 1.23 on it waits for its clients after SIGTERM
    shutil.rmtree(directory)


def test_transaction_pooler(pooled_dsn: str, metadata: Metadata, requests_of: Requests) -> None:
    """Events at once, more than there are server connections, each of them sent twice."""
    client: FlaskClient = client_for(pooled_dsn)
    events = [checkout(metadata) for _ in range(20)]
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def post(event: dict[str, object]) -> None:
        body, headers = signed(event)
        response = client.application.test_client().post(PATH, data=body, headers=headers)
        with lock:
            outcomes[f"{response.status_code} {json.loads(response.data).get('outcome')}"] += 1

    threads = [threading.Thread(target=post, args=(event,)) for event in [*events, *events]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert outcomes == {"200 request_created": 20, "200 duplicate": 20}
    assert all(len(requests_of(session_id(event))) == 1 for event in events)
    # The app's timeout is on neither of the pooler's connections, which others use after it.
    with psycopg.connect(pooled_dsn) as one, psycopg.connect(pooled_dsn) as other:
        for connection in (one, other):
            assert connection.execute("show statement_timeout").fetchone() == ("0",)
