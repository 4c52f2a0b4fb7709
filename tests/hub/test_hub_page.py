"""The clients to paste from docs/hub.md, as they stand there."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from stack import ROOT
from stack.proxy import Proxy
from tests.database import Database, eventually, rpc
from tests.hub.listening import Hub, expiring_token, token

PAGE = (ROOT / "docs/hub.md").read_text()


def code(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def three_requests(db: Database) -> tuple[str, list[dict[str, Any]]]:
    customer = db.make_customer()
    for _ in range(3):
        db.make_request(customer)
    db.sql("select dispatch.deliver_events()")
    listed = rpc(db.connect(customer), "list_session_request_events", after=0)
    return customer, [each["payload"] for each in listed]


def test_the_javascript_client(db: Database, hub: Hub) -> None:
    customer, expected = three_requests(db)
    program = f"""{code("js").replace("export ", "")}
        const end = new AbortController(), handled = [];
        await follow({{
          url: process.env.HUB_URL, after: 0, signal: end.signal,
          getToken: async (isRefused) => (isRefused ? process.env.TOKEN : "over by the hub's"),
          handle: async (event) => {{ if (handled.push(event) === 3) end.abort(); }},
        }});
        console.log(JSON.stringify(handled));
    """
    url = f"http://127.0.0.1:{hub.port}/events"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        env=os.environ | {"HUB_URL": url, "TOKEN": token(customer)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_the_javascript_client_asks_for_another_token_once(hub: Hub) -> None:
    """A hub that has other keys takes none, and whoever renews them is asked by thousands."""
    client = code("js").replace("export ", "").replace("1000 + Math.random() * 4000", "10")
    program = f"""{client}
        const end = new AbortController(), asked = [];
        await follow({{
          url: process.env.HUB_URL, signal: end.signal, handle: () => {{}},
          getToken: async (isRefused) => {{
            if (asked.push(isRefused) === 4) end.abort();
            return "of other keys";
          }},
        }});
        console.log(JSON.stringify(asked));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        env=os.environ | {"HUB_URL": f"http://127.0.0.1:{hub.port}/events"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [False, True, False, False]


def test_the_javascript_client_leaves_a_connection_that_is_silent(db: Database, hub: Hub) -> None:
    """As one is after a phone's sleep, or in another network: nobody has told either end."""
    customer, proxy = db.make_customer(), Proxy(hub.port)
    program = f"""{code("js").replace("export ", "").replace("60_000", "3_000")}
        await follow({{
          url: process.env.HUB_URL, after: 0,
          getToken: async () => (console.log("comes"), process.env.TOKEN),
          handle: async (event) => console.log(event.request_id),
        }});
    """
    url = f"http://127.0.0.1:{proxy.port}/events"
    with subprocess.Popen(
        ["node", "--input-type=module", "-e", program],
        env=os.environ | {"HUB_URL": url, "TOKEN": token(customer)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        said = (line.strip() for line in process.stdout)
        try:
            assert "comes" in said
            eventually(lambda: hub.health().get("clients") == 1)
            proxy.stall()
            request = db.make_request(customer)
            db.sql("select dispatch.deliver_events()")
            assert "comes" in said
            proxy.cut()  # what was said on the old one is lost
            proxy.resume()
            assert request in said
        finally:
            process.kill()
            proxy.close()


@pytest.mark.further
def test_the_javascript_client_leaves_nothing_behind_where_it_fails(db: Database, hub: Hub) -> None:
    """What could not be handled comes again, on a connection that is its only one."""
    customer, expected = three_requests(db)
    program = f"""{code("js").replace("export ", "")}
        let failures = 2;
        await follow({{
          url: process.env.HUB_URL, getToken: async () => process.env.TOKEN, after: 0,
          handle: async (event) => {{
            if (failures-- > 0) throw new Error("not now");
            console.log(event.event_id);
          }},
        }});
    """
    eventually(lambda: hub.health().get("clients") == 0)
    with subprocess.Popen(
        ["node", "--input-type=module", "-e", program],
        env=os.environ
        | {"HUB_URL": f"http://127.0.0.1:{hub.port}/events", "TOKEN": token(customer)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            said = (line.strip() for line in process.stdout)
            assert str(expected[-1]["event_id"]) in said
            eventually(lambda: hub.health().get("clients") == 1)
        finally:
            process.kill()


def test_the_python_client(db: Database, hub: Hub) -> None:
    customer, expected = three_requests(db)
    names: dict[str, Any] = {}
    exec(code("python"), names)
    tries = iter(range(9))

    def get_token() -> str:
        if next(tries) == 0:
            raise httpx.ConnectError("whoever renews it is away")
        return token(customer)

    events = names["follow"](f"http://127.0.0.1:{hub.port}/events", get_token, 0)
    assert [next(events) for _ in expected] == expected
    events.close()


def test_the_python_client_waits_as_long_as_it_is_told(db: Database, hub: Hub) -> None:
    customer = db.make_customer()
    names: dict[str, Any] = {}
    exec(code("python"), names)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        raise InterruptedError

    names["time"] = SimpleNamespace(sleep=sleep)
    events = names["follow"](f"http://127.0.0.1:{hub.port}/events", lambda: token(customer))
    eventually(lambda: hub.health().get("clients") == 0)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        listened = pool.submit(next, events)
        eventually(lambda: hub.health().get("clients") == 1)
        for _ in range(16):
            stack.enter_context(hub.listen(customer))
        with pytest.raises(InterruptedError):
            listened.result()
    assert waited[0] >= 30


@pytest.mark.further
def test_the_python_client_of_before_a_backup_was_put_back(db: Database, hub: Hub) -> None:
    """Its cursor lies above the log: it goes on from where its stream began."""
    customer = db.make_customer()
    names: dict[str, Any] = {}
    exec(code("python"), names)
    began: list[int] = []

    def get_token() -> str:
        # The stream begins, and ends before anything has come; something comes then.
        if began:
            db.make_request(customer)
            db.sql("select dispatch.deliver_events()")
        began.append(len(began))
        assert len(began) <= 2, "what came meanwhile is missed"
        return expiring_token(customer, 3)

    events = names["follow"](f"http://127.0.0.1:{hub.port}/events", get_token, 10**12)
    told = next(events)
    assert len(began) == 2 and told["event"] == "new_request"
    events.close()
