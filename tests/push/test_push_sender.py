"""The sender as it runs: a process, a real push service, a database that goes away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest

from push_app.keys import new_keys
from stack.proxy import Proxy
from stack.push_service import Device, PushService, push_service
from tests.database import Database, eventually, rpc
from tests.further import further_but
from tests.pooler import pooled

PUBLIC, PRIVATE = new_keys()
ENVIRONMENT = {"VAPID_PRIVATE_KEY": PRIVATE, "VAPID_SUBJECT": "mailto:ops@example.com"}


@pytest.fixture
def service(db: Database) -> Iterator[PushService]:
    with push_service(PUBLIC) as service:
        db.sql("select dispatch.set_push_services(%s)", [service.origin])
        yield service
        assert service.faults == []


class Sender:
    def __init__(self, dsn: str, output: Path, **settings: str) -> None:
        self.output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "push_app"],
                env=os.environ | ENVIRONMENT | {"DATABASE_URL": dsn} | settings,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(15)


Start = Callable[..., Sender]


@pytest.fixture
def start(db: Database, tmp_path: Path) -> Iterator[Start]:
    """Start a sender; all of them are stopped."""
    senders: list[Sender] = []

    def run(dsn: str | None = None, **settings: str) -> Sender:
        output = tmp_path / f"sender-{len(senders)}.log"
        senders.append(Sender(dsn or db.dsn("push_app"), output, **settings))
        return senders[-1]

    yield run
    for sender in senders:
        sender.process.kill()
        sender.process.wait()


def favourite_with(db: Database, device: Device) -> str:
    mechanic = db.make_mechanic(online=False)
    device.register(db, mechanic)
    return mechanic


def book(db: Database, mechanic: str) -> str:
    request = db.make_request(preferred=mechanic)
    db.sql("select dispatch.deliver_events()")  # what the sweep's loop does
    return request


def outcomes(db: Database, request: str) -> list[str | None]:
    return [
        row["outcome"]
        for row in db.sql(
            "select outcome from dispatch.pushes where request_id = %s and not is_reminder"
            " order by id",
            request,
        )
    ]


def test_a_closed_phone_is_told_in_a_moment_and_the_log_says_so(
    db: Database, service: PushService, start: Start
) -> None:
    phone = service.device()
    mechanic, sender = favourite_with(db, phone), start()
    request = book(db, mechanic)
    eventually(lambda: outcomes(db, request) == ["sent"])
    (received,) = service.received
    assert received.message["title"] == "A customer asks for you"
    assert received.message["request_id"] == request
    assert received.headers["Topic"] == request.replace("-", "")
    assert sender.end() == 0
    (line,) = sender.log()
    assert line.pop("at") and line.pop("milliseconds") >= 0
    (push,) = db.sql("select id from dispatch.pushes where not is_reminder")
    assert line == {"what": "push", "push_id": push["id"], "service": "127.0.0.1", "status": 201}
    assert phone.endpoint not in sender.output.read_text()


def test_what_was_queued_while_no_sender_ran_is_sent(
    db: Database, service: PushService, start: Start
) -> None:
    request = book(db, favourite_with(db, service.device()))
    start()
    eventually(lambda: outcomes(db, request) == ["sent"])


def test_a_device_that_is_gone_is_forgotten_and_its_window_ends(
    db: Database, service: PushService, start: Start
) -> None:
    service.answer = lambda _: (410, {})
    request = book(db, favourite_with(db, service.device()))
    start()
    eventually(lambda: db.log(request) == ["priority_request", "new_request:unreachable"])
    assert db.sql("select * from dispatch.devices") == []


@pytest.mark.parametrize(
    ("answer", "status", "seconds"),
    [
        ((429, {"Retry-After": "120"}), 429, 120),
        ((503, {"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"}), 503, 2),
        ((503, {"Retry-After": "1" * 5000}), 503, None),
        (None, None, 2),
        *(
            pytest.param((status, headers), status, seconds, marks=pytest.mark.further)
            for status, headers, seconds in (
                (503, {"Retry-After": "Sat, 01 Jan 2000 00:00:00"}, 2),
                (503, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
                (503, {"Retry-After": f"Sat, 01 Jan 1{'0' * 20} 00:00:00 GMT"}, 2),
                (500, {}, 2),
            )
        ),
    ],
)
def test_a_service_that_cannot_now_is_tried_again(
    db: Database,
    service: PushService,
    start: Start,
    answer: tuple[int, dict[str, str]] | None,
    status: int | None,
    seconds: int | None,
) -> None:
    service.answer = lambda _: answer
    request = book(db, favourite_with(db, service.device()))
    start(PUSH_TIMEOUT="1")
    if seconds is None:  # later than the window
        eventually(lambda: outcomes(db, request) == ["given_up"])
        return
    # Without an answer there is no status; but it is due before the 30 seconds that the sender has.
    query = (
        "select status, due_at - now() as wait from dispatch.pushes"
        " where not is_reminder and attempts = 1"
        " and (status is not null or due_at < now() + interval '20 seconds')"
    )
    (row,) = eventually(lambda: db.sql(query))
    assert row["status"] == status
    assert row["wait"].total_seconds() == pytest.approx(seconds, rel=0.6)
    service.answer = lambda _: (201, {})
    db.sql("update dispatch.pushes set due_at = now() where not is_reminder")
    eventually(lambda: outcomes(db, request) == ["sent"])


def test_a_redirect_is_not_followed(db: Database, service: PushService, start: Start) -> None:
    service.answer = lambda _: (302, {"Location": f"{service.origin}/elsewhere"})
    request = book(db, favourite_with(db, service.device()))
    start()
    eventually(lambda: outcomes(db, request) == ["refused"])
    assert len(service.received) == 1


def test_an_address_that_is_none_and_answers_that_are_not_taken_stop_no_other(
    db: Database, service: PushService, start: Start
) -> None:
    """Registered before such addresses were refused; and while the database is upgraded."""
    phones = [service.device(), service.device()]
    mechanic = favourite_with(db, phones[0])
    phones[1].register(db, mechanic)
    nowhere = "https://a..push.apple.com/x"
    where = phones[0].endpoint
    db.sql("update dispatch.devices set endpoint = %s where endpoint = %s", nowhere, where)
    db.sql("alter function public.finish_pushes(jsonb) rename to finish_later")
    request = book(db, mechanic)
    sender = start()
    eventually(lambda: any(line["what"] == "database_away" for line in sender.log()))
    db.sql("alter function public.finish_later(jsonb) rename to finish_pushes")
    eventually(lambda: sorted(outcomes(db, request), key=str) == [None, "sent"])
    tried = "select due_at < now() + interval '20 s' and attempts = 1 from dispatch.pushes"
    eventually(lambda: db.value(f"{tried} where endpoint = %s and not is_reminder", nowhere))


def test_keys_that_are_no_point_are_a_device_that_is_gone(
    db: Database, service: PushService, start: Start
) -> None:
    phone = service.device()
    mechanic = db.make_mechanic(online=False)
    no_point = phone.subscription() | {"p256dh": "BB" + "A" * 85}
    rpc(db.connect(mechanic), "register_device", **no_point)
    request = book(db, mechanic)
    start()
    eventually(lambda: outcomes(db, request) == ["gone"])
    assert service.received == []


def test_killed_before_the_answer_another_sends_it_after_it_none(
    db: Database, service: PushService, start: Start
) -> None:
    """Nothing is lost, and what the database knows as sent is not sent again."""
    mechanic = favourite_with(db, service.device())
    first = start()
    known = book(db, mechanic)
    eventually(lambda: outcomes(db, known) == ["sent"])
    service.answer = lambda _: None
    lost = book(db, mechanic)
    eventually(lambda: len(service.received) == 2)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    service.answer = lambda _: (201, {})
    start()
    time.sleep(1.5)  # it looks each second; what another has is not its own
    assert len(service.received) == 2
    db.sql("update dispatch.pushes set due_at = now() where outcome is null and not is_reminder")
    eventually(lambda: outcomes(db, lost) == ["sent"])
    assert [each.message["request_id"] for each in service.received] == [known, lost, lost]


def test_several_share_the_work_and_each_push_is_sent_once(
    db: Database, service: PushService, start: Start
) -> None:
    mechanics = [favourite_with(db, service.device()) for _ in range(100)]
    for _ in range(3):
        start()
    for mechanic in mechanics:
        db.make_request(preferred=mechanic)
    db.sql("select dispatch.deliver_events()")
    left = "select count(*) from dispatch.pushes where finished_at is null and not is_reminder"
    eventually(lambda: db.value(left) == 0 and len(service.received) >= 100)
    assert sorted(service.paths()) == sorted(service.devices)


def test_it_outlives_the_database(db: Database, service: PushService, start: Start) -> None:
    mechanic = favourite_with(db, service.device())
    proxy = Proxy(int(psycopg.conninfo.conninfo_to_dict(db.dsn())["port"] or 5432))
    try:
        dsn = psycopg.conninfo.make_conninfo(db.dsn("push_app"), port=proxy.port)
        sender = start(dsn)
        request = book(db, mechanic)
        eventually(lambda: outcomes(db, request) == ["sent"])
        db.superuser().execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'push_app'"
        )
        request = book(db, mechanic)
        eventually(lambda: outcomes(db, request) == ["sent"])
        assert sender.process.poll() is None
    finally:
        proxy.close()


def test_told_to_stop_it_ends_without_the_database(
    db: Database, service: PushService, start: Start
) -> None:
    """Which cannot be told what came of the last push, and has it sent once more."""
    mechanic = favourite_with(db, service.device())
    proxy = Proxy(int(psycopg.conninfo.conninfo_to_dict(db.dsn())["port"] or 5432))

    def answer(_: str) -> Any:
        proxy.close()
        return (201, {})

    service.answer = answer
    sender = start(psycopg.conninfo.make_conninfo(db.dsn("push_app"), port=proxy.port))
    request = book(db, mechanic)
    eventually(lambda: len(service.received) == 1)
    eventually(lambda: "database_away" in sender.output.read_text())
    assert sender.end() == 0
    assert outcomes(db, request) == [None]
    said = {line["what"] for line in sender.log()}
    assert said == {"push", "database_away", "psycopg.pool", "answers_not_told"}


@pytest.mark.parametrize("way", further_but(["pooler"], {"direct": nullcontext, "pooler": pooled}))
def test_a_session_of_a_time_when_all_was_read_only_is_let_go(
    db: Database,
    service: PushService,
    start: Start,
    way: Callable[[str], AbstractContextManager[str]],
) -> None:
    """As when the disk was nearly full: it keeps what it began with, and would send nothing."""
    setting = f"alter role push_app in database {db.name}"
    db.sql(f"{setting} set default_transaction_read_only = on")
    try:
        request = book(db, favourite_with(db, service.device()))
        with way(db.dsn("push_app")) as dsn:
            sender = start(dsn)
            eventually(lambda: "database_away" in sender.output.read_text())
            db.sql(f"{setting} reset default_transaction_read_only")
            eventually(lambda: outcomes(db, request) == ["sent"])
    finally:
        db.sql(f"{setting} reset default_transaction_read_only")


def test_through_a_pooler_in_transaction_mode(
    db: Database, service: PushService, start: Start
) -> None:
    with ExitStack() as stack:
        start(stack.enter_context(pooled(db.dsn("push_app"))))
        for _ in range(3):
            request = book(db, favourite_with(db, service.device()))
            eventually(lambda r=request: outcomes(db, r) == ["sent"])  # type: ignore[misc]


def test_a_wrong_environment_is_told_at_once(db: Database) -> None:
    run = [sys.executable, "-m", "push_app"]
    wrong = {"VAPID_PRIVATE_KEY": "x", "VAPID_SUBJECT": "ops", "PUSH_TIMEOUT": "0"}
    for url in ("", "hunter2", "postgresql://push_app:hunter2@db:port:5/na me?x"):
        done = subprocess.run(
            run, env=os.environ | wrong | {"DATABASE_URL": url}, capture_output=True, text=True
        )
        assert done.returncode == 3 and "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr
        for name in ("DATABASE_URL", *wrong):
            assert name in done.stderr
    keys = subprocess.run([*run, "keys"], capture_output=True, text=True, check=True).stdout
    assert [line.partition("=")[0] for line in keys.splitlines()] == [
        "VAPID_PUBLIC_KEY",
        "VAPID_PRIVATE_KEY",
    ]
