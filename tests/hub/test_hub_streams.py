"""What a client of the hub hears, and what not."""

import asyncio
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from hub_app import server
from hub_app.config import Config
from hub_app.database import Database as HubDatabase
from hub_app.database import Event
from stack.proxy import Proxy
from tests.database import Database, eventually, rpc, value
from tests.hub.listening import (
    SECRET,
    Client,
    Hub,
    Told,
    deaf_socket,
    expiring_token,
    running,
    token,
)


def caught_up(db: Database, user_id: str, after: int | None = 0) -> list[Told]:
    """What the catch-up lists for them, in the stream's form."""
    found = rpc(db.connect(user_id), "list_session_request_events", after=after)
    return [Told(each["event_id"], each["event"], each["payload"]) for each in found]


def deliver(db: Database) -> None:
    db.sql("select dispatch.deliver_events()")  # what the sweep's loop does


def open_window(db: Database, mechanic: str, customer: str | None = None) -> str:
    request = db.make_request(customer, preferred=mechanic)
    deliver(db)
    return request


def broadcast(db: Database, request: str) -> None:
    db.end_window(request)
    db.sweep()
    deliver(db)


def test_each_hears_what_their_catch_up_lists_and_nothing_else(db: Database, hub: Hub) -> None:
    customer, other = db.make_customer(), db.make_customer()
    favourite, mechanic = db.make_mechanic(), db.make_mechanic()
    applicant = db.make_mechanic(status="pending")
    people = (customer, other, favourite, mechanic, applicant)
    clients = {each: hub.listen(each) for each in people}
    request = open_window(db, favourite, customer)
    broadcast(db, request)
    rpc(db.connect(mechanic), "accept_session_request", request_id=request)
    deliver(db)
    # And one more for each, so that each has something to hear last.
    lasts = {each: db.make_request(each) for each in people}
    deliver(db)
    for person, client in clients.items():
        expected = caught_up(db, person, client.began)
        assert expected[-1].data["request_id"] in lasts.values()
        assert [client.next() for _ in expected] == expected
    window = [each.event for each in caught_up(db, favourite) if each.data["request_id"] == request]
    assert window == ["priority_request", "new_request", "request_accepted"]
    assert not [each for each in caught_up(db, other) if each.data["request_id"] == request]
    for client in clients.values():
        client.close()


def test_a_block_holds_in_the_midst_of_a_stream(db: Database, hub: Hub) -> None:
    customer, mechanic, other = db.make_customer(), db.make_mechanic(), db.make_mechanic()
    with hub.listen(mechanic) as blocked, hub.listen(other) as client:
        seen = db.make_request(customer)
        deliver(db)
        assert blocked.next().data["request_id"] == seen == client.next().data["request_id"]
        rpc(db.connect(customer), "block_mechanic", mechanic_id=mechanic)
        hidden, last = db.make_request(customer), db.make_request()
        deliver(db)
        assert client.next().data["request_id"] == hidden
        assert client.next().data["request_id"] == last == blocked.next().data["request_id"]


def test_an_approval_holds_from_the_next_event_and_ends_with_it(db: Database, hub: Hub) -> None:
    mechanic, witness = db.make_mechanic(status="pending"), db.make_mechanic()
    with hub.listen(mechanic) as client, hub.listen(witness) as other:

        def announce_while(status: str) -> str:
            db.sql("update mechanics set status = %s where id = %s", status, mechanic)
            request = db.make_request()
            deliver(db)
            assert other.next().data["request_id"] == request  # told, to whom it was then for
            return request

        announce_while("pending")
        heard = [announce_while("approved")]
        announce_while("suspended")
        announce_while("pending")
        heard.append(announce_while("approved"))
        assert [client.next().data["request_id"] for _ in heard] == heard


def test_a_reason_that_a_mechanic_gave_stays_in_the_log(db: Database, hub: Hub) -> None:
    customer, mechanic = db.make_customer(), db.make_mechanic()
    with hub.listen(mechanic) as client:
        request = open_window(db, mechanic, customer)
        said = {"request_id": request, "reason": "rude"}
        rpc(db.connect(mechanic), "decline_session_request", **said)
        deliver(db)
        told = [client.next() for _ in range(3)]
    assert "rude" not in json.dumps([each.data for each in told])
    assert {each.event for each in told} == {"priority_request", "request_declined", "new_request"}


def test_what_was_missed_comes_first_then_what_comes(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    missed = [db.make_request(customer) for _ in range(3)]
    deliver(db)
    first = caught_up(db, customer)[0].id
    with hub.listen(customer, after=first) as client, hub.listen(customer) as newcomer:
        assert client.began == first
        assert newcomer.began == caught_up(db, customer)[-1].id
        later = db.make_request(customer)
        deliver(db)
        told = [client.next() for _ in range(3)]
        assert [each.data["request_id"] for each in told] == [*missed[1:], later]
        assert told == caught_up(db, customer, first)
        assert newcomer.next() == told[-1]
    with hub.listen(customer, after=told[0].id) as again:
        assert [again.next(), again.next()] == told[1:]


def test_more_than_a_page_was_missed(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    record(db, customer, 1_050, "")
    with hub.listen(customer, after=0) as client:
        told = [client.next().id for _ in range(1_050)]
    assert told == sorted(set(told))
    with hub.listen(customer, after=told[-1]) as client:
        record(db, customer, 1, "")
        assert client.next().id > told[-1]


def test_a_cursor_above_the_log_begins_at_its_end(db: Database, hub: Hub) -> None:
    """As after a backup was put back."""
    customer = db.make_customer()
    record(db, customer, 2, "")
    with hub.listen(customer, after=10**12) as client:
        assert client.began == caught_up(db, customer)[-1].id
        record(db, customer, 1, "")
        assert client.next() == caught_up(db, customer)[-1]


def test_many_who_come_while_the_database_is_away_are_told_soon(
    db: Database, tmp_path: Path
) -> None:
    """And let in as soon as it is back; the log has a line for each try, not for each of them."""
    customers = [db.make_customer() for _ in range(30)]
    with behind_a_proxy(db, tmp_path) as (hub, proxy), ThreadPoolExecutor(30) as threads:

        def come(customer: str) -> int:
            with Client(hub.port, token(customer)) as client:
                return client.status

        lose_the_database(hub, proxy)
        began = time.monotonic()
        assert set(threads.map(come, customers)) == {503}
        assert time.monotonic() - began < 15
        waiting = [threads.submit(come, customer) for customer in customers]
        time.sleep(1)
        proxy.open()
        assert {each.result() for each in waiting} == {200}
        lines = hub.output.read_text().splitlines()
        assert len([line for line in lines if "database_away" in line]) < 20


class Late(HubDatabase):
    """Something happens whenever the end of the log is asked for."""

    def __init__(self, url: str, happens: Callable[[], object]) -> None:
        super().__init__(url)
        self._happens = happens

    async def missed(
        self, claims: str, role: str | None, after: int | None, most: int
    ) -> list[Event]:
        if after is None:
            self._happens()
        return await super().missed(claims, role, after, most)


def test_a_cursor_above_the_hub_s_own_misses_nothing(db: Database) -> None:
    """As when the hub has just begun, or another hub was quicker: that is no backup put back."""
    customer = db.make_customer()
    record(db, customer, 1, "")
    (last,) = caught_up(db, customer)
    config = Config.from_environ({"DATABASE_URL": db.dsn(), "PGRST_JWT_SECRET": SECRET})

    async def ask() -> bytes:
        async with Late(db.dsn("hub_app"), lambda: record(db, customer, 1, "")) as database:
            hub = server.Hub(config, database)
            hub._listening.set()
            headers = {"Authorization": f"Bearer {token(customer)}", "Last-Event-ID": str(last.id)}
            async with TestClient(TestServer(hub.app())) as client:
                stream = await client.get("/events", headers=headers)
                asyncio.get_running_loop().call_later(1, hub.end)
                return await stream.content.read()

    with ThreadPoolExecutor(1) as thread:
        began = thread.submit(asyncio.run, ask()).result()
    (_, late) = caught_up(db, customer)
    assert re.findall(rb"id: ([0-9]+)\n", began) == [b"%d" % last.id, b"%d" % late.id]


def test_an_open_transaction_holds_back_what_comes_after_it(db: Database, hub: Hub) -> None:
    """A lower event never comes after a higher one, here as in the catch-up."""
    customer = db.make_customer()
    with hub.listen(customer) as client:
        slow = db.open()
        slow.execute("begin")
        first = db.make_request(customer, connection=slow)
        second = db.make_request(customer)
        deliver(db)
        slow.execute("commit")
        deliver(db)
        assert [client.next().data["request_id"] for _ in range(2)] == [first, second]


def test_a_client_that_does_not_read_is_dropped_and_catches_up(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    with hub.listen(customer) as reader, deaf_socket() as deaf:
        deaf.connect(("127.0.0.1", hub.port))
        deaf.settimeout(10)
        request = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(customer)}\r\n"
        deaf.sendall(f"{request}\r\n".encode())
        eventually(lambda: streams(db, hub) == 2)
        told = []
        while streams(db, hub) == 2:
            told += record(db, customer, 100, "x" * 900)
            told_to_reader = [reader.next().id for _ in range(100)]
            assert told_to_reader == told[-100:]
        got = b""
        try:
            while chunk := deaf.recv(65_536):
                got += chunk
        except ConnectionError:
            pass
    text = got.decode()
    seen = [int(each) for each in ids_of_whole_events(text)]
    assert seen == told[: len(seen)] and len(seen) < len(told)
    with hub.listen(customer, after=seen[-1] if seen else 0) as again:
        assert [again.next().id for _ in told[len(seen) :]] == told[len(seen) :]


def ids_of_whole_events(text: str) -> list[str]:
    blocks = text.split("\n\n")[1:-1]
    return [block.partition("id: ")[2].partition("\n")[0] for block in blocks if "data: " in block]


def streams(db: Database, hub: Hub) -> int:
    return int(hub.health()["clients"])


def record(db: Database, customer: str, count: int, text: str) -> list[int]:
    """So many events on a customer's topic, in one transaction."""
    found = db.sql(
        "select dispatch.record_event("
        "  gen_random_uuid(), 'chat', 'quick-chat', now(), 'new_request',"
        "  array['customer:' || %s], jsonb_build_object('text', %s::text)) as id"
        " from generate_series(1, %s)",
        customer,
        text,
        count,
    )
    deliver(db)
    return [row["id"] for row in found]


def test_a_token_that_expires_ends_its_stream(db: Database, hub: Hub) -> None:
    customer = db.make_customer()

    def listen_for_a_moment() -> Client | None:
        client = Client(hub.port, expiring_token(customer, 2))
        return client if client.status == 200 else None  # it took too long to connect

    client = eventually(listen_for_a_moment)
    assert client.rest() == []
    client.close()
    eventually(lambda: Client(hub.port, expiring_token(customer, -1)).status == 401)


def test_who_hangs_up_is_forgotten(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    before = streams(db, hub)
    client = hub.listen(customer)
    assert streams(db, hub) == before + 1
    client.close()
    eventually(lambda: streams(db, hub) == before)


def test_who_asks_for_the_head_alone_gets_no_stream(db: Database, hub: Hub) -> None:
    before = streams(db, hub)
    request = urllib.request.Request(
        f"http://127.0.0.1:{hub.port}/events",
        headers={"Authorization": f"Bearer {token(db.make_customer())}"},
        method="HEAD",
    )
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=60)
    assert streams(db, hub) == before


def test_one_user_has_so_many_streams_and_the_oldest_makes_room(db: Database, hub: Hub) -> None:
    """A phone that was in many networks is told in the one that it is in."""
    customer = db.make_customer()
    with ExitStack() as stack:
        first, *others = [stack.enter_context(hub.listen(customer)) for _ in range(17)]
        assert first.rest() == []
        # Not at once: with as many tabs they would take turns at each other's place.
        assert first.retry >= 30_000 > max(client.retry for client in others)
        record(db, customer, 1, "")
        assert len({client.next().id for client in others}) == 1
        with hub.listen(customer, after=others[0].began):
            assert others[0].rest() == []


@contextmanager
def behind_a_proxy(db: Database, directory: Path) -> Iterator[tuple[Hub, Proxy]]:
    """A hub that can lose the database."""
    proxy = Proxy(int(psycopg.conninfo.conninfo_to_dict(db.dsn())["port"] or 5432))
    try:
        dsn = psycopg.conninfo.make_conninfo(db.dsn("hub_app"), host="127.0.0.1", port=proxy.port)
        with running(db, directory, dsn) as hub:
            yield hub, proxy
    finally:
        proxy.close()


def lose_the_database(hub: Hub, proxy: Proxy) -> None:
    proxy.close()
    eventually(lambda: not hub.health().get("listening"))


def test_nothing_is_missed_while_the_database_is_away(db: Database, tmp_path: Path) -> None:
    customer, mechanic = db.make_customer(), db.make_mechanic()
    with (
        behind_a_proxy(db, tmp_path) as (hub, proxy),
        hub.listen(customer) as client,
        hub.listen(mechanic) as other,
    ):
        requests = [db.make_request(customer)]
        deliver(db)
        assert client.next().data["request_id"] == requests[0]
        lose_the_database(hub, proxy)
        refused = Client(hub.port, token(customer))
        assert (refused.status, refused.body["details"]) == (503, "database_away")
        assert refused.response.headers["Retry-After"] == "5"
        requests += [db.make_request(customer) for _ in range(60)]
        deliver(db)
        proxy.open()
        assert [client.next().data["request_id"] for _ in requests[1:]] == requests[1:]
        assert [other.next().data["request_id"] for _ in requests] == requests


def test_what_the_server_has_ended_is_not_asked(db: Database, tmp_path: Path) -> None:
    """As by idle_session_timeout, or when it was restarted: it is there all the same."""
    superuser, customer = db.superuser(), db.make_customer()
    # One more may be on its way, for whoever waited for the first.
    end_theirs = (
        "select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity"
        " where usename = 'hub_app' and query !~ 'hear_events'"
    )
    with running(db, tmp_path) as hub:
        for _ in range(2):
            hub.listen(customer).close()
            eventually(lambda: value(superuser, end_theirs))
        hub.listen(customer).close()


def test_a_hub_that_can_let_nobody_in_is_not_well(db: Database, tmp_path: Path) -> None:
    """It listens by a connection of before, and gets no other: another password, a limit."""
    superuser = db.superuser()
    with running(db, tmp_path) as hub:
        superuser.execute("alter role hub_app connection limit 0")
        try:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = 'hub_app' and query !~ 'hear_events'"
            )
            eventually(lambda: hub.health() == {})
        finally:
            superuser.execute("alter role hub_app connection limit -1")
        eventually(lambda: hub.health().get("open"))


class Counting(HubDatabase):
    """How often it is asked whether it answers."""

    count = 0

    async def answers(self, seconds: float) -> bool:
        self.count += 1
        return await super().answers(seconds)


def test_who_asks_for_the_hub_s_health_does_not_ask_the_database_each_time(db: Database) -> None:
    config = Config.from_environ({"DATABASE_URL": db.dsn(), "PGRST_JWT_SECRET": SECRET})

    async def ask() -> tuple[set[int], int]:
        async with Counting(db.dsn("hub_app")) as database:
            hub = server.Hub(config, database)
            hub._listening.set()
            async with TestClient(TestServer(hub.app())) as client:
                answers = await asyncio.gather(*(client.get("/healthz") for _ in range(200)))
            return {answer.status for answer in answers}, database.count

    with ThreadPoolExecutor(1) as thread:
        statuses, count = thread.submit(asyncio.run, ask()).result()
    assert statuses == {200} and count < 20


def test_where_many_wait_for_the_pool_the_hub_is_well(db: Database) -> None:
    """As long as they are let in, one after the other."""

    async def ask() -> bool:
        async with HubDatabase(db.dsn("hub_app")) as hub, asyncio.TaskGroup() as group:

            async def wait() -> None:
                async with hub.connection() as connection:
                    await connection.execute("select pg_sleep(0.02)")

            for _ in range(400):
                group.create_task(wait())
            await asyncio.sleep(0)
            return await hub.answers(0.5)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, ask()).result()


def test_whoever_says_nothing_is_not_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pooler does that has lost its own server: it answers for TCP, and for nothing else."""
    monkeypatch.setattr("app_base.database.ANSWER_SECONDS", 1)
    proxy = Proxy(int(psycopg.conninfo.conninfo_to_dict(db.dsn())["port"] or 5432))
    dsn = psycopg.conninfo.make_conninfo(db.dsn("hub_app"), host="127.0.0.1", port=proxy.port)

    async def ask() -> list[object]:
        async with HubDatabase(dsn) as hub, hub.listening() as log:
            await log.read(0)
            proxy.stall()
            asked = asyncio.gather(log.read(0), hub.admit("{}", None), return_exceptions=True)
            told = await asyncio.wait_for(asked, 20)
            proxy.close()
            proxy.resume()
            return list(told)

    try:
        # (In a thread of its own: a browser's tests, which may come before, leave a loop running.)
        with ThreadPoolExecutor(1) as thread:
            told = thread.submit(asyncio.run, ask()).result()
        assert [type(each) for each in told] == [psycopg.OperationalError] * 2
    finally:
        proxy.close()


def test_of_many_events_at_once_each_hears_what_is_theirs(db: Database, tmp_path: Path) -> None:
    customer, other = db.make_customer(), db.make_customer()
    favourite, mechanic, blocked = (db.make_mechanic() for _ in range(3))
    people = (customer, other, favourite, mechanic, blocked)
    with behind_a_proxy(db, tmp_path) as (hub, proxy), ExitStack() as stack:
        clients = {each: stack.enter_context(hub.listen(each)) for each in people}
        lose_the_database(hub, proxy)
        rpc(db.connect(customer), "block_mechanic", mechanic_id=blocked)
        for number in range(12):
            broadcast(db, open_window(db, favourite, (customer, other)[number % 2]))
            # A mechanic who books hears of it as a customer.
            db.make_request(blocked if number % 3 else mechanic)
        deliver(db)
        proxy.open()
        for person, client in clients.items():
            expected = caught_up(db, person, client.began)
            assert len(expected) > 5
            assert [client.next() for _ in expected] == expected


def test_a_proxy_that_speaks_http_1_0_gets_the_same(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    with socket.create_connection(("127.0.0.1", hub.port), 10) as connection:
        request = f"GET /events HTTP/1.0\r\nAuthorization: Bearer {token(customer)}\r\n\r\n"
        connection.sendall(request.encode())
        with connection.makefile("rb") as file:
            for line in file:
                if line.startswith(b"id: "):
                    break
            file.readline()
            record(db, customer, 1, "")
            (told,) = caught_up(db, customer, int(line.split()[1]))
            block = [file.readline() for _ in range(3)]
            assert block[0] == b"id: %d\n" % told.id
            assert json.loads(block[2].removeprefix(b"data: ")) == told.data


def test_when_a_backup_was_put_back_all_come_again(db: Database, tmp_path: Path) -> None:
    customer = db.make_customer()
    record(db, customer, 3, "")
    with running(db, tmp_path) as hub, hub.listen(customer) as client:
        db.superuser().execute(
            "delete from dispatch.request_events where id > %s", [caught_up(db, customer)[0].id]
        )
        db.superuser().execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'hub_app' and query not like '%list_missed%'"
        )
        assert client.rest() == []
        with hub.listen(customer, after=client.began) as again:
            assert again.began == caught_up(db, customer)[-1].id


def test_a_plan_has_any_name_whatever_the_role_s_encoding(db: Database) -> None:
    setting = f"alter role hub_app in database {db.name}"
    db.sql("insert into service_plans values ('план', 'План', 'chat', 999)")
    db.make_request(plan_code="план")

    async def ask() -> str:
        async with HubDatabase(db.dsn("hub_app")) as hub, hub.listening() as log:
            (last,) = await log.read(None)
            return last.payload

    db.sql(f"{setting} set client_encoding = latin1")
    try:
        with ThreadPoolExecutor(1) as thread:
            assert json.loads(thread.submit(asyncio.run, ask()).result())["plan_code"] == "план"
    finally:
        db.sql(f"{setting} reset client_encoding")
        db.sql("delete from session_requests; delete from service_plans where code = 'план'")


def test_sigterm_ends_streams_in_order(db: Database, tmp_path: Path) -> None:
    customer = db.make_customer()
    with running(db, tmp_path) as hub, hub.listen(customer) as client:
        hub.process.send_signal(signal.SIGTERM)
        assert client.rest() == []
        assert client.response.isclosed()  # its end was said, not a broken connection
        assert hub.process.wait(15) == 0
    assert customer not in hub.output.read_text()


def test_a_full_hub_says_so(db: Database, tmp_path: Path) -> None:
    with running(db, tmp_path, HUB_MAX_CLIENTS="1") as hub, hub.listen(db.make_customer()):
        refused = Client(hub.port, token(db.make_customer()))
        assert (refused.status, refused.body["details"]) == (503, "too_many_clients")


def test_a_hub_keeps_files_to_listen_by(db: Database, tmp_path: Path) -> None:
    """However many come, and though the database was restarted meanwhile."""
    customers = [db.make_customer() for _ in range(3)]
    with running(db, tmp_path, files="130") as hub, ExitStack() as stack:
        clients = [
            stack.enter_context(Client(hub.port, token(customers[number % 3])))
            for number in range(90)
        ]
        let_in = [client for client in clients if client.status == 200]
        refused = {client.body["details"] for client in clients if client.status != 200}
        assert len(let_in) == 30 and refused == {"too_many_clients"}
        end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'hub_app'"
        db.superuser().execute(end)
        record(db, customers[0], 1, "")
        assert let_in[0].next().event == "new_request"


def test_the_door_is_ipv6_too(db: Database, tmp_path: Path) -> None:
    with running(db, tmp_path, HUB_HOST="::") as hub:
        socket.create_connection(("127.0.0.1", hub.port)).close()
