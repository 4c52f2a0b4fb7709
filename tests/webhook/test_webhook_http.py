"""The webhook over HTTP on a real database: what Stripe hears, and what is then in the tables."""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from flask.testing import FlaskClient
from psycopg.conninfo import make_conninfo
from webhook_support import (
    EMAIL,
    NAME,
    OLD_SECRET,
    PATH,
    Blocked,
    Event,
    Ledger,
    Metadata,
    Requests,
    Sql,
    checkout,
    client_for,
    event,
    post,
    session_id,
    signed,
)
from werkzeug.test import TestResponse

from stack.proxy import Proxy
from tests.database import Connection, eventually
from tests.further import further_but
from tests.pooler import pooled

MIB = 1024 * 1024


def refused(response: TestResponse, status: int, error: str) -> None:
    assert response.status_code == status, response.text
    assert response.json is not None and set(response.json) == {"error", "hint"}
    assert response.json["error"] == error and response.json["hint"]
    assert ("Retry-After" in response.headers) == (status == 503)


def outcome(response: TestResponse) -> str:
    assert response.status_code == 200, response.text
    assert response.json is not None and set(response.json) == {"outcome", "request_id"}
    return str(response.json["outcome"])


# --- Refused: nothing is stored ---


@pytest.fixture
def nothing_stored(sql: Sql) -> Any:
    count = """
        select (select count(*) from dispatch.stripe_events)
             + (select count(*) from public.session_requests) as n
    """
    before = sql(count)
    yield
    assert sql(count) == before


@pytest.mark.parametrize(
    "headers",
    [
        lambda event: {},
        lambda event: {"Stripe-Signature": "t=1,v1=ü"},
        lambda event: signed(event, "whsec_other")[1],
        lambda event: signed(event, age=310)[1],
        lambda event: signed(event, age=-310)[1],
    ],
    ids=["none", "not ASCII", "wrong", "stale", "future"],
)
def test_bad_signature(
    client: FlaskClient, metadata: Metadata, nothing_stored: None, headers: Any
) -> None:
    paid = checkout(metadata)
    response = client.post(PATH, data=signed(paid)[0], headers=headers(paid))
    refused(response, 400, "bad_signature")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        '"evt_1"',
        "17",
        "null",
        "{}",
        '{"id": "evt_1"}',
        '{"type": "charge.refunded", "data": {"object": {}}}',
        '{"id": 1, "type": "charge.refunded", "data": {"object": {}}}',
        '{"id": "evt_nan", "type": "x", "data": {"object": {"n": NaN}}}',
        '{"id": "evt_range", "type": "x", "data": {"object": {"n": 1e999999}}}',
        '{"id": "evt_nul", "type": "x", "data": {"object": {"n": "\0"}}}',
        '{"a":' * 200_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
    ids=lambda body: body[:60],
)
def test_no_event(client: FlaskClient, nothing_stored: None, body: str) -> None:
    refused(post(client, body), 400, "invalid_event")


def test_not_utf8(client: FlaskClient, nothing_stored: None) -> None:
    response = client.post(PATH, data=b'{"id": "\xff"}', headers=signed("{}")[1])
    refused(response, 400, "invalid_event")


def test_size(client: FlaskClient, metadata: Metadata, nothing_stored: None) -> None:
    refused(post(client, "x" * (MIB + 1)), 413, "too_large")
    refused(post(client, "x" * MIB), 400, "invalid_event")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods(client: FlaskClient, method: str) -> None:
    response = client.open(PATH, method=method)
    assert response.status_code == 405 and response.headers["Allow"] == "POST"
    if method != "HEAD":
        refused(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/", PATH + "/", "/stripe//webhook", "/static/x", "/healthz/x"])
def test_other_paths(client: FlaskClient, path: str) -> None:
    refused(client.post(path), 404, "not_found")


# --- Taken: one request for each paid session ---


def test_paid(
    client: FlaskClient, metadata: Metadata, requests_of: Requests, ledger: Ledger
) -> None:
    paid = checkout(metadata)
    response = post(client, paid)
    assert outcome(response) == "request_created"
    (request,) = requests_of(session_id(paid))
    assert response.json == {"outcome": "request_created", "request_id": str(request["id"])}
    assert str(request["customer_id"]) == metadata["customer_id"]
    assert (request["plan_code"], request["session_type"]) == ("quick-chat", "chat")
    row = ledger(paid["id"])
    assert (row["outcome"], row["error"]) == ("request_created", None)
    assert row["payload"] == paid and row["processed_at"]


def test_rotated_secret(client: FlaskClient, metadata: Metadata) -> None:
    body, headers = signed(checkout(metadata), OLD_SECRET)
    assert outcome(client.post(PATH, data=body, headers=headers)) == "request_created"


CREATED, DUPLICATE, WAITING = "request_created", "duplicate", "waiting_for_payment"
ASYNC_PAID, ASYNC_FAILED = (
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
)


@pytest.mark.parametrize(
    ("events", "outcomes", "made"),
    [
        ([("checkout.session.completed", "paid")] * 2, [CREATED, DUPLICATE], 1),
        ([("checkout.session.completed", "no_payment_required")], [CREATED], 1),
        ([("checkout.session.completed", "unpaid")], [WAITING], 0),
        (
            [("checkout.session.completed", "unpaid"), (ASYNC_PAID, "paid")],
            [WAITING, CREATED],
            1,
        ),
        (
            [(ASYNC_PAID, "paid"), ("checkout.session.completed", "unpaid")],
            [CREATED, f"{DUPLICATE}|{WAITING}"],
            1,
        ),
        ([(ASYNC_FAILED, "unpaid")], ["payment_failed"], 0),
        ([("checkout.session.expired", "unpaid")], ["ignored"], 0),
        ([("customer.created", "paid")], ["ignored"], 0),
        ([("no.such.type", "paid")], ["ignored"], 0),
    ],
    ids=lambda value: str(value)[:60],
)
def test_order_of_events(
    client: FlaskClient,
    metadata: Metadata,
    requests_of: Requests,
    events: list[tuple[str, str]],
    outcomes: list[str],
    made: int,
) -> None:
    """Events of one session, each with an id of its own; then each of them sent again."""
    session = f"cs_test_{uuid.uuid4().hex}"
    sent = [checkout(metadata, *each, session_id=session) for each in events]
    for each, expected in zip(sent, outcomes, strict=True):
        assert outcome(post(client, each)) in expected.split("|")
    for each in sent:
        assert outcome(post(client, each)) == DUPLICATE
    assert len(requests_of(session)) == made


def test_at_the_same_time(client: FlaskClient, metadata: Metadata, requests_of: Requests) -> None:
    session = f"cs_test_{uuid.uuid4().hex}"
    pair = [checkout(metadata, session_id=session) for _ in range(2)]
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: answers.append(outcome(post(client, each))))
        for each in pair * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [DUPLICATE] * 7 + [CREATED]
    assert len(requests_of(session)) == 1


def test_refund(client: FlaskClient, metadata: Metadata, requests_of: Requests) -> None:
    paid = checkout(metadata)
    intent = paid["data"]["object"]["payment_intent"]
    post(client, paid)
    charge = {"id": "ch_1", "object": "charge", "payment_intent": intent, "refunded": True}
    refund = event("charge.refunded", charge | {"amount": 999, "amount_refunded": 999})
    assert outcome(post(client, refund)) == "refunded"
    assert requests_of(session_id(paid))[0]["status"] == "cancelled"


# --- A paid session is never lost, whatever its metadata says ---

LOST_IF_WRONG = {"customer_id", "plan_code"}
HOSTILE = {
    "missing": None,
    "null": "null",
    "undefined": "undefined",
    "blank": " ",
    "zero": "0",
    "overlong": "x" * 500,
    "sql": "'); drop table public.session_requests; --",
    "quotes": "\"'\\`$$",
    "html": "<script>alert(1)</script>",
    "emoji": "👩🏽‍🔧" * 20,
    "rtl": "\u202eevil\u202c مرحبا",
    "nul": "a\0b",
    "surrogate": "\ud83d",
}
KEYS = [
    "customer_id",
    "plan_code",
    "session_type",
    "routing_type",
    "preferred_mechanic_id",
    "priority_window_minutes",
    "skip_if_offline",
]


@pytest.mark.parametrize(
    "value", further_but(["missing", "blank", "overlong", "sql", "nul"], HOSTILE)
)
@pytest.mark.parametrize("key", KEYS)
def test_metadata(
    client: FlaskClient,
    metadata: Metadata,
    requests_of: Requests,
    ledger: Ledger,
    key: str,
    value: str | None,
) -> None:
    priority = {
        "routing_type": "priority_broadcast",
        "preferred_mechanic_id": str(uuid.uuid4()),
        "priority_window_minutes": "10",
        "skip_if_offline": "true",
    }
    given = {**metadata, **priority, key: value}
    paid = checkout({k: v for k, v in given.items() if v is not None})
    response = post(client, paid)
    row, made = ledger(paid["id"]), requests_of(session_id(paid))
    if key in LOST_IF_WRONG:
        refused(response, 500, "not_processed")
        assert not made and row["error"]
    else:
        assert outcome(response) == CREATED
        assert len(made) == 1 and not row["error"]
        assert made[0]["session_type"] == "chat"
    assert (row["outcome"] == CREATED) == bool(made)


def test_customer_from_client_reference(
    client: FlaskClient, metadata: Metadata, requests_of: Requests
) -> None:
    paid = checkout({k: v for k, v in metadata.items() if k != "customer_id"})
    paid["data"]["object"]["client_reference_id"] = metadata["customer_id"]
    assert outcome(post(client, paid)) == CREATED
    assert str(requests_of(session_id(paid))[0]["customer_id"]) == metadata["customer_id"]


@pytest.mark.parametrize("broken", ["plan_code", "customer_id"])
def test_mended_and_sent_again(
    client: FlaskClient,
    metadata: Metadata,
    sql: Sql,
    requests_of: Requests,
    ledger: Ledger,
    broken: str,
) -> None:
    late = {"plan_code": f"late-{uuid.uuid4()}", "customer_id": str(uuid.uuid4())}[broken]
    paid = checkout(metadata | {broken: late})
    for _ in range(2):
        refused(post(client, paid), 500, "not_processed")
        assert ledger(paid["id"])["error"] and not requests_of(session_id(paid))
    if broken == "plan_code":
        sql(
            "insert into public.service_plans (code, title, session_type, price_cents, currency)"
            " values (%s, 'Late', 'chat', 500, 'usd')",
            late,
        )
    else:
        sql("insert into auth.users (id, email) values (%s, %s)", late, f"{late}@mail.example")
    assert outcome(post(client, paid)) == CREATED
    assert len(requests_of(session_id(paid))) == 1
    assert (ledger(paid["id"])["outcome"], ledger(paid["id"])["error"]) == (CREATED, None)


def test_text_that_jsonb_refuses(
    client: FlaskClient, metadata: Metadata, requests_of: Requests, ledger: Ledger
) -> None:
    """Only what jsonb cannot hold is replaced: pairs and escaped backslashes stay."""
    paid = checkout(metadata, name="a\0b \ud83dc \udd27\ud83d d 🔧é \\u0000 \\\\ud83d \\")
    assert outcome(post(client, paid)) == CREATED
    assert len(requests_of(session_id(paid))) == 1
    stored = ledger(paid["id"])["payload"]["data"]["object"]["customer_details"]["name"]
    assert stored == "a\ufffdb \ufffdc \ufffd\ufffd d 🔧é \\u0000 \\\\ud83d \\"


@pytest.mark.parametrize("name", ["", "x" * 100_000, "O'Brien\"; --", "<b>", "👩🏽‍🔧", "\u202eabc"])
def test_names(client: FlaskClient, metadata: Metadata, requests_of: Requests, name: str) -> None:
    paid = checkout(metadata, name=name)
    assert outcome(post(client, paid)) == CREATED
    assert len(requests_of(session_id(paid))) == 1


def test_thin_session(client: FlaskClient, metadata: Metadata, requests_of: Requests) -> None:
    """Parts that Stripe may leave out, or send as null."""
    for part in ("customer_details", "payment_intent"):
        for absent in (True, False):
            paid = checkout(metadata)
            paid["data"]["object"][part] = None
            if absent:
                del paid["data"]["object"][part]
            assert outcome(post(client, paid)) == CREATED
            assert len(requests_of(session_id(paid))) == 1


# --- The database in trouble: 503, and nothing lost ---


def in_thread(call: Callable[[], TestResponse], wait: float = 60) -> Callable[[], TestResponse]:
    """Start the call; what comes back waits for its answer."""
    answers: list[TestResponse] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()

    def answer() -> TestResponse:
        thread.join(wait)
        assert answers, "no answer in time"
        return answers[0]

    return answer


def test_away_and_back(
    proxy: Proxy, proxied: FlaskClient, metadata: Metadata, requests_of: Requests
) -> None:
    """Away at the start, there, away, there: the app needs no restart."""
    paid = checkout(metadata)
    for _ in range(2):
        proxy.close()
        refused(post(proxied, paid), 503, "database_unavailable")
        refused(proxied.get("/healthz"), 503, "database_unavailable")
        refused(post(proxied, "[]"), 400, "invalid_event")
        assert not requests_of(session_id(paid))
        proxy.open()
        eventually(lambda: proxied.get("/healthz").status_code == 200)
        assert proxied.get("/healthz").json == {"status": "ok"}
        assert outcome(post(proxied, paid)) == CREATED
        paid = checkout(metadata)


def test_restart_costs_no_event(
    proxy: Proxy, webhook_dsn: str, metadata: Metadata, blocked: Blocked
) -> None:
    """Every connection of a full pool is dead, and the next event waits for none of them."""
    client = client_for(make_conninfo(webhook_dsn, port=proxy.port), db_timeout=30)
    with blocked() as waiting:
        answers = [in_thread(lambda: post(client, checkout(metadata))) for _ in range(4)]
        eventually(lambda: waiting() == 4)
    assert [outcome(answer()) for answer in answers] == [CREATED] * 4
    for _ in range(3):
        proxy.cut()
        started = time.monotonic()
        assert outcome(post(client, checkout(metadata))) == CREATED
        assert time.monotonic() - started < 20


def test_lost_midway(
    proxy: Proxy,
    proxied: FlaskClient,
    metadata: Metadata,
    blocked: Blocked,
    requests_of: Requests,
) -> None:
    """The first call may still commit after its connection is lost: one request all the same."""
    paid = checkout(metadata)
    with blocked() as waiting:
        answer = in_thread(lambda: post(proxied, paid))
        eventually(lambda: waiting() == 1)
        proxy.cut()
        eventually(lambda: waiting() == 2)
    assert outcome(answer()) in (CREATED, DUPLICATE)
    assert len(requests_of(session_id(paid))) == 1


def test_ended_midway(
    client: FlaskClient, metadata: Metadata, blocked: Blocked, requests_of: Requests, sql: Sql
) -> None:
    """As by an administrator, or by a shutdown: the server says so before it hangs up."""
    paid = checkout(metadata)
    waits = """
        select l.pid from pg_locks as l
        join pg_database as d on d.oid = l.database and d.datname = current_database()
        where not l.granted
    """
    with blocked() as waiting:
        answer = in_thread(lambda: post(client, paid))
        eventually(lambda: waiting() == 1)
        first = sql(waits)
        sql("select pg_terminate_backend(%s)", first[0]["pid"])
        eventually(lambda: waiting() == 1 and sql(waits) != first)
    assert outcome(answer()) == CREATED
    assert len(requests_of(session_id(paid))) == 1


def test_statement_timeout(
    webhook_dsn: str, metadata: Metadata, blocked: Blocked, requests_of: Requests
) -> None:
    client, paid = client_for(webhook_dsn, db_timeout=1), checkout(metadata)
    with blocked():
        answer = in_thread(lambda: post(client, paid), wait=20)
        refused(answer(), 503, "database_unavailable")
    assert not requests_of(session_id(paid))
    assert outcome(post(client, paid)) == CREATED


def test_a_trigger_of_theirs_that_takes_too_long(
    webhook_dsn: str, metadata: Metadata, requests_of: Requests, ledger: Ledger, sql: Sql
) -> None:
    """It may never be quicker: sent again for three days the event would be nowhere."""
    client, paid = client_for(webhook_dsn, db_timeout=1), checkout(metadata)
    intent = paid["data"]["object"]["payment_intent"]
    charge = {"id": "ch_1", "object": "charge", "payment_intent": intent, "refunded": True}
    refund = event("charge.refunded", charge | {"amount": 999, "amount_refunded": 999})
    sql(
        "create function public.call_out() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(20); return new; end'"
    )
    sql(
        "create trigger call_out before insert or update on public.session_requests"
        " for each row execute function public.call_out()"
    )
    try:
        refused(post(client, paid), 500, "not_processed")
        assert "57014 canceling statement" in ledger(paid["id"])["error"]
        assert not requests_of(session_id(paid))
        sql("alter table public.session_requests disable trigger call_out")
        assert outcome(post(client, paid)) == CREATED
        sql("alter table public.session_requests enable trigger call_out")
        refused(post(client, refund), 500, "not_processed")
        assert "57014" in ledger(refund["id"])["error"]
    finally:
        sql("drop function public.call_out() cascade")
    assert outcome(post(client, refund)) == "refunded"
    assert [row["status"] for row in requests_of(session_id(paid))] == ["cancelled"]


def test_event_log_locked(
    webhook_dsn: str, metadata: Metadata, owner: Connection, requests_of: Requests, sql: Sql
) -> None:
    client, paid = client_for(webhook_dsn, db_timeout=1), checkout(metadata)
    with owner.transaction():
        sql("lock table dispatch.request_events in access exclusive mode")
        refused(post(client, paid), 503, "database_unavailable")
    assert not requests_of(session_id(paid))
    assert outcome(post(client, paid)) == CREATED


def test_a_commit_that_fails(
    client: FlaskClient, metadata: Metadata, requests_of: Requests, sql: Sql
) -> None:
    """As it does when the queue of notices is full: the error comes at the very end."""
    paid = checkout(metadata)
    sql(
        "create function public.fail() returns trigger language plpgsql as"
        " 'begin raise program_limit_exceeded; end'"
    )
    sql(
        "create constraint trigger fail after insert or update on dispatch.stripe_events"
        " deferrable initially deferred for each row execute function public.fail()"
    )
    # Nothing asks for it before the end.
    sql(
        "create function public.defer() returns trigger language plpgsql as"
        " 'begin set constraints all deferred; return new; end'"
    )
    sql(
        "create trigger defer before insert or update on dispatch.stripe_events"
        " for each row execute function public.defer()"
    )
    try:
        refused(post(client, paid), 503, "database_unavailable")
        assert not requests_of(session_id(paid))
    finally:
        sql("drop function public.fail() cascade")
        sql("drop function public.defer() cascade")
    assert outcome(post(client, paid)) == CREATED


def test_read_only(webhook_dsn: str, metadata: Metadata) -> None:
    """A standby, or a failover under way."""
    client = client_for(make_conninfo(webhook_dsn, options="-c default_transaction_read_only=on"))
    refused(client.get("/healthz"), 503, "database_unavailable")
    refused(post(client, checkout(metadata)), 503, "database_unavailable")


@pytest.mark.parametrize("way", [nullcontext, pooled], ids=["direct", "pooler"])
def test_read_only_no_more(
    webhook_dsn: str,
    metadata: Metadata,
    sql: Sql,
    way: Callable[[str], AbstractContextManager[str]],
) -> None:
    """A session keeps what it began with: those of a time when the disk was full are let go, by a
    pooler too, which would keep its own for an hour."""
    sql("alter role webhook_app in database shared set default_transaction_read_only = on")
    try:
        with way(webhook_dsn) as dsn:
            client = client_for(dsn)
            for _ in range(2):
                refused(post(client, checkout(metadata)), 503, "database_unavailable")
                refused(client.get("/healthz"), 503, "database_unavailable")
            sql("alter role webhook_app in database shared reset default_transaction_read_only")
            # Each try ends one of the pooler's sessions, of which there are two.
            eventually(lambda: client.get("/healthz").status_code == 200)
            assert outcome(post(client, checkout(metadata))) == CREATED
    finally:
        sql("alter role webhook_app in database shared reset default_transaction_read_only")


def test_whoever_says_nothing_is_not_waited_for(
    proxy: Proxy,
    webhook_dsn: str,
    metadata: Metadata,
    requests_of: Requests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a pooler does that has lost its own server: it answers for TCP, and for nothing else."""
    monkeypatch.setattr("webhook_app.database.GRACE", 1)
    client = client_for(make_conninfo(webhook_dsn, port=proxy.port), db_timeout=1)
    assert outcome(post(client, checkout(metadata))) == CREATED
    paid = checkout(metadata)
    proxy.stall()
    try:
        answer = in_thread(lambda: post(client, paid), wait=20)
        refused(answer(), 503, "database_unavailable")
    finally:
        proxy.resume()
    eventually(lambda: client.get("/healthz").status_code == 200)
    assert outcome(post(client, paid)) in (CREATED, DUPLICATE)
    assert len(requests_of(session_id(paid))) == 1


def test_not_installed(client: FlaskClient, metadata: Metadata, sql: Sql) -> None:
    sql("alter function public.process_stripe_event(jsonb) rename to set_aside")
    try:
        refused(post(client, checkout(metadata)), 500, "database_error")
    finally:
        sql("alter function public.set_aside(jsonb) rename to process_stripe_event")
    assert outcome(post(client, checkout(metadata))) == CREATED


# --- The log ---


def test_log(client: FlaskClient, metadata: Metadata, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    paid: Event = checkout(metadata)
    odd = event("odd type\n", {"name": NAME}) | {"id": f"evt {EMAIL}"}
    broken = checkout(metadata | {"plan_code": EMAIL})
    for body in (paid, broken, odd, f"[{NAME!r}]", json.dumps(paid).replace("cs_test", "\\u00")):
        post(client, body)
    client.post(PATH, data=json.dumps(paid))
    client.get(PATH)
    client.get("/healthz")
    lines = [json.loads(r.message) for r in caplog.records if r.name == "webhook_app"]
    assert [line["status"] for line in lines] == [200, 500, 200, 400, 400, 400, 405]
    assert lines[0].items() >= {"event_id": paid["id"], "type": paid["type"]}.items()
    assert lines[0]["outcome"] == CREATED and lines[0]["request_id"] and lines[0]["time"]
    assert (lines[1]["outcome"], lines[1]["reason"]) == ("error", "not_processed")
    assert lines[2]["event_id"] is None and lines[2]["type"] is None
    assert lines[5]["event_id"] is None and lines[5]["reason"] == "no_signature"
    everything = "\n".join(f"{r.getMessage()} {r.exc_info} {r.exc_text}" for r in caplog.records)
    for private in (NAME, EMAIL, "Zo", "555 0199", metadata["customer_id"], "select ", "Traceback"):
        assert private not in everything
