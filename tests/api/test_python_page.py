"""The module of docs/python.md, as a backend uses it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from stack import ROOT
from tests.api.world import Person, World

# By its path: `supabase` is the name of supabase-py.
SPEC = importlib.util.spec_from_file_location(
    "favorites_priority", ROOT / "supabase/client/favorites_priority.py"
)
assert SPEC and SPEC.loader
page: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)


def client(world: World, person: Person, url: str | None = None) -> Any:
    env = world.env
    token = page.sign_in(person.id, env["JWT_SECRET"])
    return page.client_for(url or env["SUPABASE_URL"], env["SUPABASE_ANON_KEY"], token)


@contextmanager
def proxy_that_says_503() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"<html>503 Service Unavailable</html>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_books_and_catches_up(world: World) -> None:
    carla, frank = world.customer(), world.mechanic()
    customer, mechanic = client(world, carla), client(world, frank)
    checkout = page.prepare_checkout(customer, "quick-chat", frank.id)
    assert checkout["metadata"] == world.metadata(carla, frank)
    mona = world.mechanic()
    in_order = page.prepare_checkout(customer, "quick-chat", mona.id, frank.id)["metadata"]
    assert in_order["preferred_mechanic_ids"] == f"{mona.id},{frank.id}"

    heard: list[str] = []

    def handle(event: dict[str, Any]) -> None:
        heard.append(event["event"])

    cursor = page.catch_up(mechanic, None, handle)
    free = page.request_free_session(customer, "free-diagnostic", frank.id)
    assert free["priority_window_minutes"] == 10
    page.call(mechanic, "accept_session_request", request_id=free["id"])
    cursor = page.catch_up(mechanic, cursor, handle)
    assert heard == ["priority_request", "request_accepted"]
    # A page that is not full is not the last: the server may give fewer than were asked for.
    assert [e["event"] for e in page.events_after(mechanic, cursor - 2, page=1)][-1] == heard[-1]
    assert page.catch_up(mechanic, cursor + 10**6, handle) == cursor
    assert len(heard) == 2


def test_what_goes_wrong_is_a_sentence_with_a_word(world: World) -> None:
    carla = world.customer()
    customer = client(world, carla)

    def failure(with_client: Any, name: str, **arguments: object) -> tuple[str, str]:
        with pytest.raises(page.Failure) as raised:
            page.call(with_client, name, **arguments)
        return raised.value.word, str(raised.value)

    accept = ("accept_session_request", {"request_id": carla.id})
    word, sentence = failure(customer, accept[0], **accept[1])
    assert (word, sentence) == ("not_a_mechanic", "Not an approved mechanic.")
    assert failure(customer, "process_stripe_event", event={})[0] == "forbidden"
    assert failure(customer, "get_mechanic_status", mechanic_id="x") == (
        "unknown",
        page.FAULTS["unknown"],
    )
    unsigned = page.client_for(world.env["SUPABASE_URL"], world.env["SUPABASE_ANON_KEY"], "x.y.z")
    assert failure(unsigned, "list_favorite_mechanics")[0] == "not_signed_in"
    away = client(world, carla, "http://127.0.0.1:1")
    assert failure(away, "list_favorite_mechanics") == ("away", page.FAULTS["away"])
    with proxy_that_says_503() as url:
        busy = client(world, carla, url)
        assert failure(busy, "list_favorite_mechanics") == ("busy", page.FAULTS["busy"])
