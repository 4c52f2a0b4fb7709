"""Fixtures over two from outside: `webhook_dsn`, the app's role's DSN on a fresh database, and
`owner`, a connection to it as its owner."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from webhook_support import APPS, Blocked, Ledger, Metadata, Requests, Sql, client_for

from stack.proxy import Proxy


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while APPS:
        APPS.pop().extensions["database"].close()


@pytest.fixture
def sql(owner: psycopg.Connection[Any]) -> Sql:
    """Run a statement as the owner, committed at once."""
    owner.autocommit = True

    def run(query: str, *params: object) -> list[dict[str, Any]]:
        cursor = owner.cursor(row_factory=dict_row)
        cursor.execute(query.encode(), params)
        return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def metadata(sql: Sql) -> Metadata:
    """The metadata of a plain booking by a customer who exists."""
    customer = str(uuid.uuid4())
    sql("insert into auth.users (id, email) values (%s, %s)", customer, f"{customer}@mail.example")
    return {
        "customer_id": customer,
        "plan_code": "quick-chat",
        "session_type": "chat",
        "routing_type": "broadcast",
    }


@pytest.fixture
def client(webhook_dsn: str) -> FlaskClient:
    return client_for(webhook_dsn)


@pytest.fixture
def proxy(webhook_dsn: str) -> Iterator[Proxy]:
    proxy = Proxy(int(conninfo_to_dict(webhook_dsn)["port"] or 5432))
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(proxy: Proxy, webhook_dsn: str) -> FlaskClient:
    return client_for(make_conninfo(webhook_dsn, port=proxy.port))


@pytest.fixture
def requests_of(sql: Sql) -> Requests:
    """The requests made for a Checkout Session."""
    query = "select * from public.session_requests where metadata->>'stripe_checkout_session_id'=%s"
    return lambda session: sql(query, session)


@pytest.fixture
def ledger(sql: Sql) -> Ledger:
    """The ledger's one row of an event."""

    def row(event_id: str) -> dict[str, Any]:
        (found,) = sql("select * from dispatch.stripe_events where id = %s", event_id)
        return found

    return row


@pytest.fixture
def blocked(owner: psycopg.Connection[Any], sql: Sql) -> Blocked:
    """A context in which the ledger is locked; it gives a count of the calls that wait."""
    query = """
        select count(*)::int as n from pg_locks as l
        join pg_database as d on d.oid = l.database and d.datname = current_database()
        where not l.granted
    """

    @contextmanager
    def lock() -> Iterator[Callable[[], int]]:
        with owner.transaction():
            sql("lock table dispatch.stripe_events in access exclusive mode")
            yield lambda: int(sql(query)[0]["n"])

    return lock
