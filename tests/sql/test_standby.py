"""What a hot standby answers: which RPCs it may be asked, and that nobody can listen there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from stack import ROOT
from stack.network import free_ports
from stack.postgres import Cluster
from stack.push_service import Device
from stack.services import postgrest
from stack.tokens import sign
from tests.database import Database, checkout, eventually, refused, rpc
from tests.standby import Standby

READS = {
    "get_mechanic_status",
    "get_checkout_status",
    "get_session_request_by_checkout",
    "get_session_request_timeline",
    "list_favorite_mechanics",
    "list_open_session_requests",
    "list_session_request_mechanics",
    "list_session_request_payments",
    "prepare_checkout",
}
# What PostgreSQL says where a function would write.
READ_ONLY = "25006"


@pytest.fixture(scope="module")
def standby(cluster: Cluster) -> Iterator[Cluster]:
    with Standby(cluster) as standby:
        yield standby


@pytest.fixture
def replica(shared: Database, standby: Cluster) -> Iterator[Database]:
    """The shared database, on the standby."""
    with Database(standby, shared.name) as database:
        yield database


def test_the_page_names_those_that_read() -> None:
    page = (ROOT / "docs/scaling.md").read_text()
    (row,) = re.findall(r"^\| (.*) \| the same answer", page, re.M)
    assert set(re.findall(r"`(\w+)`", row)) == READS


def catch_up(shared: Database, replica: Database) -> None:
    written = shared.value("select pg_current_wal_lsn()")
    eventually(lambda: replica.value("select pg_last_wal_replay_lsn() >= %s", written))


def test_every_rpc(shared: Database, replica: Database) -> None:
    """What reads answers as on the primary; the rest is refused."""
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    shared.sql("insert into public.customer_favorites values (%s, %s)", customer, mechanic)
    paid = {"stripe_checkout_session_id": "cs_1"}
    request = shared.make_request(customer, mechanic, metadata=paid)
    accepted = shared.make_request(customer)
    rpc(shared.connect(mechanic), "accept_session_request", request_id=accepted)
    its_checkout: dict[str, object] = {"checkout_session_id": "cs_1"}
    catch_up(shared, replica)
    favourite = {"preferred_mechanic_id": mechanic, "routing_type": "priority_broadcast"}
    its_id: dict[str, object] = {"request_id": request}
    calls: dict[str, tuple[str | None, dict[str, object]]] = {
        "accept_session_request": (mechanic, its_id),
        "block_customer": (mechanic, {"request_id": accepted}),
        "block_mechanic": (customer, {"mechanic_id": mechanic}),
        "broadcast_session_request_now": (customer, its_id),
        "cancel_session_request": (customer, its_id),
        "complete_session_request": (mechanic, its_id),
        "decline_session_request": (mechanic, its_id),
        "release_session_request": (mechanic, its_id),
        "reopen_session_request": (customer, its_id),
        "get_checkout_status": (customer, its_checkout),
        "get_mechanic_status": (customer, {"mechanic_id": mechanic}),
        "get_session_request_by_checkout": (customer, its_checkout),
        "get_session_request_timeline": (customer, its_id),
        "list_favorite_mechanics": (customer, {}),
        "list_open_session_requests": (mechanic, {}),
        "list_session_request_events": (mechanic, {}),
        "list_session_request_mechanics": (customer, its_id),
        "list_session_request_payments": (customer, {"request_ids": f"{{{request}}}"}),
        "prepare_checkout": (customer, {"plan_code": "quick-chat", **favourite}),
        "process_stripe_event": (None, {"event": checkout(customer)}),
        "request_free_session": (customer, {"plan_code": "free-diagnostic"}),
        "set_presence": (mechanic, {"status": "away"}),
        "register_device": (mechanic, {**Device("https://web.push.apple.com/x").subscription()}),
        "unblock_customer": (mechanic, {"request_id": accepted}),
        "unblock_mechanic": (customer, {"mechanic_id": mechanic}),
        "unregister_device": (mechanic, {"endpoint": "https://web.push.apple.com/x"}),
        "acknowledge_notice": (mechanic, {"event_id": 1}),
        "claim_pushes": (None, {"max_rows": 1}),
        "finish_pushes": (None, {"answers": [{"push_id": 1, "status": 201}]}),
    }
    found = shared.sql("select proname from pg_proc where pronamespace = 'public'::regnamespace")
    assert calls.keys() == {row["proname"] for row in found}

    for function, (user, arguments) in calls.items():
        role = "authenticated" if user else "service_role"
        there = replica.connect(user, role)
        if function in READS:
            here = shared.connect(user, role)
            answer = rpc(there, function, **arguments)
            assert answer and answer == rpc(here, function, **arguments), function
        elif function != "list_session_request_events":
            with refused(READ_ONLY):
                rpc(there, function, **arguments)


def test_verify_says_what_is_installed_there(shared: Database, replica: Database) -> None:
    """For who would know before a failover."""
    catch_up(shared, replica)
    command = ["psql", "-X", "-d", replica.dsn(), "-f", "sql/favorites_priority/verify.sql"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "flag ENABLE_FAVORITES_PRIORITY" in result.stdout


def test_postgrest_in_front_of_it(shared: Database, replica: Database, tmp_path: Path) -> None:
    mechanic = shared.make_mechanic()
    request = shared.make_request()
    catch_up(shared, replica)
    secret = "s" * 32
    (port,) = free_ports(0)
    service = postgrest(tmp_path, replica.dsn("authenticator"), port, secret)
    service.env = {"PGRST_DB_CHANNEL_ENABLED": "false"}  # it could not listen
    with service.running():
        token = sign("authenticated", mechanic, secret=secret)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/rpc", headers=headers) as api:
            assert api.post("/list_open_session_requests").json()[0]["request_id"] == request
            for function, arguments in {
                "accept_session_request": {"request_id": request},
                "list_session_request_events": {},
            }.items():
                answer = api.post(f"/{function}", json=arguments)
                assert (answer.status_code, answer.json()["code"]) == (400, "0A000"), answer.text


def test_the_event_log_is_not_read_there(shared: Database, replica: Database) -> None:
    """A reader there would pass an event that commits later, with a lower id."""
    mechanic = shared.make_mechanic()
    writer = shared.connect(role="service_role")
    with writer.transaction():
        shared.make_request(connection=writer)  # takes the lower id
        shared.make_request()
        catch_up(shared, replica)
        assert rpc(shared.connect(mechanic), "list_session_request_events") == []
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="on the primary only"):
            rpc(replica.connect(mechanic), "list_session_request_events")


def test_nobody_can_listen_there(replica: Database) -> None:
    with refused(READ_ONLY):
        replica.sql("listen session_requests_feed")
