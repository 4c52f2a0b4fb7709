"""The Edge Function that sends Web Push, under Deno: against PostgREST and a real push service."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from push_app.keys import new_keys
from stack import ROOT
from stack.network import free_ports
from stack.postgres import SUPERUSER, run_psql
from stack.push_service import Device, PushService, push_service
from stack.services import Service, Stack, edge_function
from tests.api.world import Person, World
from tests.database import at_once, eventually

PUBLIC, PRIVATE = new_keys()
KEY = "sb_secret_of_the_job"


class Function:
    def __init__(self, directory: Path, **settings: str) -> None:
        (port,) = free_ports(0)
        self.url = f"http://127.0.0.1:{port}/"
        environment = {"VAPID_PRIVATE_KEY": PRIVATE, "VAPID_SUBJECT": "mailto:ops@example.com"}
        self.process: Service = edge_function(
            "send-pushes", directory, port, environment | {"PUSH_TIMEOUT": "2"} | settings
        )
        self.process.start()
        self.process.wait_ready()

    def call(self, **headers: str) -> httpx.Response:
        return httpx.post(self.url, headers=headers or {"apikey": KEY}, timeout=30)

    def send(self) -> int:
        answer = self.call()
        assert answer.status_code == 200, answer.text
        pushes: int = answer.json()["pushes"]
        return pushes

    def log(self) -> list[dict[str, Any]]:
        lines = self.process.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


Start = Callable[..., Function]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    started: list[Function] = []

    def run(**settings: str) -> Function:
        started.append(Function(tmp_path_factory.mktemp("function"), **settings))
        return started[-1]

    yield run
    for function in started:
        function.process.stop()


@pytest.fixture(scope="module")
def function(world: World, start: Start) -> Function:
    """As on a project that switched the legacy keys off."""
    keys = {"web": world.env["SUPABASE_SERVICE_ROLE_KEY"], "job": KEY}
    return start(SUPABASE_URL=world.env["SUPABASE_URL"], SUPABASE_SECRET_KEYS=json.dumps(keys))


@pytest.fixture
def service(world: World) -> Iterator[PushService]:
    # Phones of other tests, too: whoever is online is rung once a reservation is given up.
    world.sql("delete from dispatch.devices; delete from dispatch.pushes")
    (before,) = world.sql("select dispatch.push_services() as hosts")
    with push_service(PUBLIC) as service:
        world.sql("select dispatch.set_push_services(%s)", [service.origin])
        yield service
        world.sql("select dispatch.set_push_services(%s)", before["hosts"])
        assert service.faults == []


def with_phones(world: World, *phones: Device) -> Person:
    mechanic = world.mechanic()
    world.sql("update public.mechanics set is_online = false where id = %s", mechanic.id)
    for phone in phones:
        mechanic.post("register_device", **phone.subscription()).raise_for_status()
    return mechanic


def book(world: World, mechanic: Person) -> str:
    request = world.book(world.customer(), mechanic)
    world.deliver_notices()
    return request


def push_of(world: World, request: str) -> dict[str, Any]:
    query = (
        "select *, extract(epoch from due_at - now()) as wait from dispatch.pushes"
        " where request_id = %s and not is_reminder and endpoint is not null"
    )
    (push,) = world.sql(query, request)
    return push


def test_a_push_is_sent_and_said_so(world: World, service: PushService, function: Function) -> None:
    phone = service.device()
    request = book(world, with_phones(world, phone))
    logged = len(function.log())
    assert function.send() == 1
    (received,) = service.received
    assert received.message["request_id"] == request
    assert received.message["title"] == "A customer asks for you"
    assert received.headers["Topic"] == request.replace("-", "")
    assert 500 < int(received.headers["TTL"]) <= 600
    push = push_of(world, request)
    assert (push["outcome"], push["status"]) == ("sent", 201)
    (line,) = function.log()[logged:]
    assert line.pop("at") and line.pop("milliseconds") >= 0
    assert line == {"what": "push", "push_id": push["id"], "service": "127.0.0.1", "status": 201}
    assert phone.endpoint not in function.process.log.read_text()
    assert function.send() == 0


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [(410, 410, "gone"), (302, 302, "refused"), ("no point", 410, "gone")],
)
def test_what_is_final(
    world: World,
    service: PushService,
    function: Function,
    answer: int | str,
    status: int,
    outcome: str,
) -> None:
    phone = service.device()
    mechanic = with_phones(world, phone)
    if answer == "no point":
        bad = phone.subscription() | {"p256dh": "BB" + "A" * 85}
        mechanic.post("register_device", **bad).raise_for_status()
    else:
        service.answer = lambda _: (int(answer), {"Location": f"{service.origin}/elsewhere"})
    request = book(world, mechanic)
    assert function.send() == 1
    push = push_of(world, request)
    assert (push["outcome"], push["status"]) == (outcome, status)
    assert len(service.received) == (answer != "no point")
    devices = world.sql("select * from dispatch.devices where user_id = %s", mechanic.id)
    assert len(devices) == (outcome != "gone")
    # Nobody else to ring: its window is over.
    assert world.request(request)["notification_sent_at"] is None or outcome == "gone"
    (log,) = world.sql(
        "select array_agg(payload ->> 'reason' order by id) as reasons"
        " from dispatch.request_events where request_id = %s",
        request,
    )
    assert log["reasons"] == ([None, "unreachable"] if outcome == "gone" else [None])


def test_an_address_that_is_none_stops_no_other(
    world: World, service: PushService, function: Function
) -> None:
    """Registered before such addresses were refused."""
    mechanic = with_phones(world, service.device(), service.device())
    (first, *_) = world.sql("select * from dispatch.devices where user_id = %s", mechanic.id)
    world.sql(
        "update dispatch.devices set endpoint = 'https://xn--.push.apple.com/x'"
        " where endpoint = %s",
        first["endpoint"],
    )
    request = book(world, mechanic)
    assert function.send() == 2
    query = "select outcome from dispatch.pushes where request_id = %s and not is_reminder"
    found = {row["outcome"] for row in world.sql(query, request)}
    assert found == {"sent", None}
    world.sql("delete from dispatch.devices where endpoint like '%%xn--%%'")


@pytest.mark.parametrize(
    ("answer", "status", "seconds"),
    [
        ((429, {"Retry-After": "120"}), 429, 120),
        ((503, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}), 503, None),
        ((503, {"Retry-After": "soon"}), 503, 2),
        (None, None, 2),
    ],
)
def test_what_is_tried_again(
    world: World,
    service: PushService,
    function: Function,
    answer: tuple[int, dict[str, str]] | None,
    status: int | None,
    seconds: int | None,
) -> None:
    service.answer = lambda _: answer
    request = book(world, with_phones(world, service.device()))
    assert function.send() == 1
    push = push_of(world, request)
    assert push["status"] == status
    if seconds is None:  # later than the window
        assert push["outcome"] == "given_up"
        return
    assert function.log()[-1].get("error") == (None if answer else "TimeoutError")
    assert push["outcome"] is None and seconds * 0.5 < push["wait"] <= seconds * 1.5
    service.answer = lambda _: (201, {})
    world.sql("update dispatch.pushes set due_at = now() where id = %s", push["id"])
    assert function.send() == 1
    assert push_of(world, request)["outcome"] == "sent"


def test_two_calls_at_once_send_each_push_once(
    world: World, service: PushService, function: Function
) -> None:
    for _ in range(4):
        mechanic = with_phones(world)
        for _ in range(20):
            row = {"user_id": mechanic.id} | service.device().subscription()
            world.owner.execute(
                "insert into dispatch.devices (endpoint, user_id, p256dh, auth)"
                " values (%(endpoint)s, %(user_id)s, %(p256dh)s, %(auth)s)",
                row,
            )
        book(world, mechanic)

    came: list[str] = []
    both = threading.Event()

    def when_both_are_at_it(path: str) -> tuple[int, dict[str, str]]:
        came.append(path)
        if len(came) > 64:  # more than one call has under way
            both.set()
        both.wait(1)
        return 201, {}

    service.answer = when_both_are_at_it
    shares = at_once(function.send, function.send)
    assert sum(shares) == 80 and min(shares) > 0
    assert sorted(service.paths()) == sorted(service.devices)
    (left,) = world.sql(
        "select count(*) as count from dispatch.pushes"
        " where not is_reminder and outcome is distinct from 'sent'"
    )
    assert left["count"] == 0


def test_what_was_sent_is_told_once_the_database_hears(
    world: World, service: PushService, function: Function
) -> None:
    """Else it would be sent again."""
    grant = "{} execute on function public.finish_pushes(jsonb) {} service_role"
    logged = len(function.log())

    def away(_: str) -> tuple[int, dict[str, str]]:
        world.sql(grant.format("revoke", "from"))
        return 201, {}

    def back() -> None:
        eventually(lambda: "database_away" in [line["what"] for line in function.log()[logged:]])
        world.sql(grant.format("grant", "to"))

    service.answer = away
    request = book(world, with_phones(world, service.device()))
    pushes, _ = at_once(function.send, back)
    assert pushes == 1
    assert push_of(world, request)["outcome"] == "sent"


def test_only_with_a_secret_key(world: World, service: PushService, function: Function) -> None:
    book(world, with_phones(world, service.device()))
    anon = world.env["SUPABASE_ANON_KEY"]
    mechanic = world.mechanic()
    for headers in (
        {"X-Nothing": ""},
        {"apikey": ""},
        {"apikey": anon},
        {"apikey": anon, "Authorization": f"Bearer {mechanic.token}"},
        {"Authorization": f"Bearer {anon}"},
        {"apikey": KEY[:-1]},
        {"apikey": anon, "Authorization": f"Bearer {KEY}"},
    ):
        answer = function.call(**headers)
        assert (answer.status_code, "secret key" in answer.text) == (401, True), headers
    assert httpx.get(function.url, headers={"apikey": KEY}).status_code == 405
    assert service.received == []
    assert function.call(Authorization=f"Bearer {KEY}").json() == {"pushes": 1}


def test_what_is_wrong_is_told_to_who_calls(world: World, start: Start) -> None:
    legacy = world.env["SUPABASE_SERVICE_ROLE_KEY"]
    function = start(
        SUPABASE_URL=world.env["SUPABASE_URL"],
        SUPABASE_SERVICE_ROLE_KEY=legacy,
        VAPID_PRIVATE_KEY="x",
        VAPID_SUBJECT="ops",
        PUSH_TIMEOUT="99",
    )
    assert function.call().status_code == 401
    answer = function.call(Authorization=f"Bearer {legacy}")
    assert answer.status_code == 500
    for name in ("VAPID_PRIVATE_KEY", "VAPID_SUBJECT", "PUSH_TIMEOUT"):
        assert name in answer.json()["message"]


def test_without_the_database_it_says_so(start: Start) -> None:
    (nobody,) = free_ports(0)
    function = start(
        SUPABASE_URL=f"http://127.0.0.1:{nobody}",
        SUPABASE_SECRET_KEYS=json.dumps({"default": KEY}),
    )
    answer = function.call()
    assert answer.status_code == 502 and answer.json()["message"].startswith("the database: ")
    assert function.log()[-1]["what"] == "database_away"


# The schedule. pg_net and Vault are not packaged for these tests: these have their names and
# signatures, and keep what would be called.
STAND_INS = """
    create schema net;
    create table net.calls (url text, body jsonb, headers jsonb, timeout_milliseconds integer);
    create function net.http_post(
        url text, body jsonb default '{}', params jsonb default '{}',
        headers jsonb default '{"Content-Type": "application/json"}',
        timeout_milliseconds integer default 5000
    ) returns bigint language sql as $$
        insert into net.calls values ($1, $2, $4, $5);
        select 1::bigint
    $$;
    create schema vault;
    create table vault.decrypted_secrets (name text, decrypted_secret text);
"""


@pytest.fixture
def hosted(world: World) -> Iterator[Callable[[], None]]:
    """Runs the file that schedules the function; all is taken away again."""

    def schedule() -> None:
        run_psql(world.env["DATABASE_URL"], "-f", str(ROOT / "sql/push_cron.sql"))

    yield schedule
    world.sql("drop schema if exists net, vault cascade")
    world.sql("select cron.unschedule(jobid) from cron.job where jobname = 'dispatch-push'")


def test_pg_cron_calls_it_while_something_is_due(
    world: World, service: PushService, function: Function, hosted: Callable[[], None]
) -> None:
    with pytest.raises(RuntimeError, match="not in this database: pg_net, supabase_vault"):
        hosted()
    world.sql(STAND_INS)
    with pytest.raises(RuntimeError, match="not in Vault: project_url, send_pushes_key"):
        hosted()
    url = "https://example.supabase.co"
    world.sql("insert into vault.decrypted_secrets values ('project_url', %s)", f"{url}/")
    world.sql("insert into vault.decrypted_secrets values ('send_pushes_key', %s)", KEY)
    for _ in range(2):
        hosted()
    (job,) = world.sql("select * from cron.job where jobname = 'dispatch-push'")
    assert job["active"]
    world.sql("select cron.alter_job(%s, active := false)", job["jobid"])  # it is run by hand here
    (cron,) = world.sql("select extversion from pg_extension where extname = 'pg_cron'")
    is_old = cron["extversion"].startswith("1.4")
    assert job["schedule"] == ("* * * * *" if is_old else "5 seconds")

    world.sql("delete from net.calls")
    world.sql(job["command"])
    assert world.sql("select * from net.calls") == []
    request = book(world, with_phones(world, service.device()))
    world.sql(job["command"])
    (call,) = world.sql("select * from net.calls")
    assert call["url"] == f"{url}/functions/v1/send-pushes"
    assert call["timeout_milliseconds"] >= 25_000
    answer = httpx.post(function.url, headers=call["headers"], json=call["body"])
    assert answer.json() == {"pushes": 1}
    assert push_of(world, request)["outcome"] == "sent"
    world.sql(job["command"])
    assert len(world.sql("select * from net.calls")) == 1


@pytest.mark.parametrize("version", ["1.5", "1.10", "2.0"])
def test_on_a_pg_cron_that_knows_seconds(stack: Stack, version: str) -> None:
    """1.4, which is what Debian 12 has, says that it does not."""
    assert stack.cluster
    with psycopg.connect(stack.cluster.dsn(SUPERUSER)) as connection:
        connection.execute(STAND_INS.encode())
        connection.execute(
            "insert into vault.decrypted_secrets values ('project_url'), ('send_pushes_key')"
        )
        changed = "update pg_extension set extversion = %s where extname = 'pg_cron'"
        (real,) = connection.execute(
            "select extversion from pg_extension where extname = 'pg_cron'"
        ).fetchone() or [""]
        connection.execute(changed, [version])
        schedule = (ROOT / "sql/push_cron.sql").read_bytes()
        if real.startswith("1.4"):
            with pytest.raises(psycopg.Error, match="5 seconds"):
                connection.execute(schedule)
        else:
            connection.execute(schedule)
        connection.rollback()
