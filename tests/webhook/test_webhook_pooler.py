"""Through a pooler in transaction mode: each transaction may get another server connection."""

import json
import threading
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest
from flask.testing import FlaskClient
from webhook_support import PATH, Metadata, Requests, checkout, client_for, session_id, signed

from tests.pooler import pooled


@pytest.fixture
def pooled_dsn(webhook_dsn: str) -> Iterator[str]:
    with pooled(webhook_dsn) as dsn:
        yield dsn


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
