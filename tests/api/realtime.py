"""A stand-in for the websocket of Supabase's Realtime, which is an Elixir server of its own.

It speaks the little of Phoenix's protocol that supabase-js needs to join channels, and sends each
new row of realtime.messages to those who joined its topic as a private channel. What is not shown:
that the policies on realtime.messages let the right people in (here whoever has a valid token may
join), table changes (a subscription is confirmed, and nothing is sent), and others' presence (each
connection is told of its own only). A channel that is not private is refused, as where a project
does not allow public access.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import jwt
import psycopg
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from stack.clients import Env

PREFIX = "realtime:"
PAUSE = 0.02  # seconds from one look for new rows to the next
# Of the last minute only: other tests left much, and no transaction takes that long to commit.
UNREAD = """
    select id, topic, event, payload
    from realtime.messages
    where
        private and extension = 'broadcast'
        and inserted_at > now()::timestamp - interval '1 minute'
        and id not in (select unnest(%s::uuid[]))
    order by inserted_at
"""
Config = dict[str, Any]


class Feed:
    """The rows in the order in which they were found, for all connections: one looks for all."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._ids: list[Any] = []
        self._found: list[tuple[str, str, Any]] = []

    def end(self) -> int:
        """How many there are now: who joins hears what is sent from then on."""
        with self._lock:
            self._look()
            return len(self._found)

    def after(self, count: int) -> list[tuple[str, str, Any]]:
        with self._lock:
            if time.monotonic() - self._looked_at > PAUSE:
                self._look()
            return self._found[count:]

    def _look(self) -> None:
        for message_id, *message in self._database.execute(UNREAD, [self._ids]):
            self._ids.append(message_id)
            self._found.append((message[0], message[1], message[2]))
        self._looked_at = time.monotonic()


@contextmanager
def realtime(env: Env) -> Iterator[str]:
    """The address of a running one."""
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as database:
        with serve(partial(attend, env, Feed(database)), "127.0.0.1", 0) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        thread.join()


def attend(env: Env, feed: Feed, socket: ServerConnection) -> None:
    """One connection, until it is closed."""
    joined: dict[str, Config] = {}
    sent = feed.end()
    with suppress(ConnectionClosed):
        while True:
            frame = None
            with suppress(TimeoutError):
                frame = json.loads(socket.recv(timeout=PAUSE))
            for topic, event, payload in feed.after(sent):
                sent += 1
                if joined.get(topic, {}).get("private"):
                    message = {"type": "broadcast", "event": event, "payload": payload}
                    send(socket, topic, "broadcast", message)
            if frame:
                answer(env, socket, joined, frame)


def answer(env: Env, socket: ServerConnection, joined: dict[str, Config], frame: list[Any]) -> None:
    join_ref, ref, channel, event, payload = frame
    topic = channel.removeprefix(PREFIX)
    reply: dict[str, Any] = {"status": "ok", "response": {}}
    if event == "phx_join":
        joined[topic] = payload["config"]
        changes = enumerate(joined[topic]["postgres_changes"], start=1)
        reply["response"]["postgres_changes"] = [{"id": n, **change} for n, change in changes]
        try:
            verify(env, payload.get("access_token", ""))
        except jwt.InvalidTokenError as error:
            reply = {"status": "error", "response": {"reason": str(error)}}
        if not joined[topic].get("private"):
            reason = "PrivateOnly: This project only allows private channels"
            reply = {"status": "error", "response": {"reason": reason}}
        if reply["status"] == "error":
            del joined[topic]
    elif event == "phx_leave":
        joined.pop(topic, None)
    send(socket, topic, "phx_reply", reply, join_ref, ref)
    if event == "presence":
        tracked = {joined[topic]["presence"]["key"]: {"metas": [{"phx_ref": ref}]}}
        send(socket, topic, "presence_diff", {"joins": tracked, "leaves": {}})
    elif event == "phx_join":
        send(socket, topic, "presence_state", {})


def verify(env: Env, token: str) -> None:
    jwt.decode(token, env["JWT_SECRET"], algorithms=["HS256"], audience="authenticated")


def send(
    socket: ServerConnection,
    topic: str,
    event: str,
    payload: dict[str, Any],
    join_ref: str | None = None,
    ref: str | None = None,
) -> None:
    socket.send(json.dumps([join_ref, ref, PREFIX + topic, event, payload]))
