"""The clients' streams, and what goes to each."""

import asyncio
import gc
import logging
import random
import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus

import psycopg
import psycopg_pool
from aiohttp import HttpVersion11, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from app_base.process import log
from app_base.settings import ConfigError

from .config import Config
from .database import PAGE, Database, Event, Heard, Log
from .tokens import Token, TokenFault

_log = partial(log, "hub_app")

# A proxy or a phone's network forgets a connection that is silent for a minute.
KEEP_ALIVE = 20
# Whoever has so many bytes unread here is dropped and catches up: several hundred events. What the
# system keeps unread comes on top.
MOST_UNREAD = 262_144
SYSTEM_BUFFER = 65_536
# Whoever cannot take what they missed in so many seconds comes again for the rest.
CATCH_UP_SECONDS = 30
CATCH_UP_PAGE = 500
# Whoever comes while the database is away waits so long for it, and then comes again.
AWAY_SECONDS = 5
# Files that are not clients': the database's, those who are being refused.
SPARE_FILES = 100
# Of one user: tabs, phones. The oldest makes room: a phone leaves one behind in each network that
# it was in, which the proxy before us may think is there for a quarter of an hour.
MOST_STREAMS = 16
# Milliseconds until a client comes again, each after another time.
RETRY = (1_000, 5_000)
# The same for one that made room: with more tabs than that they would take turns at each other's.
RETRY_DISPLACED = (30_000, 60_000)


class Refusal(Exception):
    """Answered as PostgREST would: a code, a word to switch on, what to do."""

    def __init__(self, status: int, message: str, details: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": f"PT{status}",
            "message": message,
            "details": details,
            "hint": hint,
        }


class Stream:
    """One client's. Until it has what it missed, what comes waits."""

    def __init__(
        self, response: web.StreamResponse, transport: asyncio.Transport, *, is_chunked: bool
    ) -> None:
        self.response = response
        self.ended = asyncio.Event()
        self.is_displaced = False
        self._transport = transport
        self._is_chunked = is_chunked
        self._waiting: list[Event] | None = []
        self._joined_at = 0
        # A write waits for its client only beyond this, and telling must wait for nobody.
        transport.set_write_buffer_limits(high=4 * MOST_UNREAD)

    def tell(self, events: list[Event], chunk: bytes) -> None:
        """These events, which are this chunk. Straight to the transport: by aiohttp it would cost a
        third more, and it is what the hub does most."""
        if self._waiting is not None:
            self._waiting += events
            return
        if events[0].event_id <= self._joined_at or not self._is_chunked:
            text = self._unseen(events)
            chunk = chunk_of(text) if self._is_chunked and text else text
        if self._transport.get_write_buffer_size() > MOST_UNREAD:
            self.drop()
        elif chunk:
            self._transport.write(chunk)

    def join(self, after: int) -> None:
        """It has all up to here: from now on events go to it as they come."""
        self._joined_at = after
        events, self._waiting = self._waiting, None
        if events:
            self.tell(events, chunk_of(messages(events)))

    async def write(self, text: bytes) -> None:
        try:
            await self.response.write(text)
        except ConnectionError:
            self.ended.set()

    def _unseen(self, events: list[Event]) -> bytes:
        return messages([each for each in events if each.event_id > self._joined_at])

    def drop(self) -> None:
        """End it without waiting until the client has read."""
        self.ended.set()
        self._transport.abort()


class Hub:
    def __init__(self, config: Config, database: Database) -> None:
        self._config = config
        self._database = database
        # Of each user the oldest first.
        self._streams: dict[str, dict[Stream, None]] = {}
        self._count = 0
        self._cursor: int | None = None
        self._listening = asyncio.Event()
        self._asked: asyncio.Task[bool] | None = None
        self._asked_at = 0.0

    def app(self) -> web.Application:
        app = web.Application(middlewares=[refuse])
        app.router.add_get("/events", self.events, allow_head=False)
        app.router.add_options("/events", self.preflight)
        app.router.add_get("/healthz", self.health)
        app.on_response_prepare.append(self.allow_origin)
        return app

    # From the database.

    async def follow(self) -> None:
        """Tell each client what is for it, for ever."""
        while True:
            try:
                async with self._database.listening() as log:
                    await self._begin(log)
                    self._listening.set()
                    while True:
                        while await self._pass_on(log):
                            pass
                        await log.wait()
            except psycopg.Error as error:
                _log("database_away", error=str(error).splitlines()[0])
            self._listening.clear()
            await asyncio.sleep(1)

    async def _begin(self, log: Log) -> None:
        """At the end of the log, or after a lost connection where it was."""
        last = max((each.event_id for each in await log.read(None)), default=0)
        if self._cursor is None:
            self._cursor = last
        elif last < self._cursor:
            # A backup was put back: what comes now has numbers that went before.
            self._cursor = last
            self.end()

    async def _pass_on(self, log: Log) -> bool:
        """Tell what is new; whether there is more."""
        heard = await log.read(self._cursor)
        on_feed: list[str] = []
        if any(event.is_on_feed for event in heard):
            # Of those who are here now: who comes later asks for what they missed later than this.
            on_feed = await log.on_feed(list(self._streams))
        if heard:
            await self._tell(heard, on_feed)
            self._cursor = heard[-1].event_id
        return len(heard) == PAGE

    async def _tell(self, heard: list[Heard], on_feed: list[str]) -> None:
        # One write for each client, however much came. Nearly all hear the same of it, so that what
        # each hears is a number, with a bit for each event, and each number's bytes are made once.
        feed = sum(1 << place for place, event in enumerate(heard) if event.is_on_feed)
        for_user = dict.fromkeys(on_feed, feed)
        for place, event in enumerate(heard):
            for user_id in event.hidden_from.split():
                if user_id in for_user:
                    for_user[user_id] &= ~(1 << place)
            for user_id in event.user_ids.split():
                for_user[user_id] = for_user.get(user_id, 0) | 1 << place
        told: dict[int, tuple[list[Event], bytes]] = {}
        for number, (user_id, bits) in enumerate(for_user.items()):
            streams = self._streams.get(user_id)
            if not bits or streams is None:
                continue
            if bits not in told:
                events: list[Event] = [
                    event for place, event in enumerate(heard) if bits >> place & 1
                ]
                told[bits] = (events, chunk_of(messages(events)))
            events, chunk = told[bits]
            for stream in streams:
                stream.tell(events, chunk)
            if number % 200 == 199:
                await asyncio.sleep(0)  # those who connect have their turn

    # From the clients.

    async def events(self, request: web.Request) -> web.StreamResponse:
        after = last_event_id(request)
        token = self._token(request)
        # Thousands at once would wait in the pool, which tries for a few seconds and then only for
        # whoever comes next.
        async with asyncio.timeout(AWAY_SECONDS):
            await self._listening.wait()
        user_id = await self._database.admit(token.claims, token.role)
        if self._count >= self._config.most_clients:
            raise Refusal(
                503,
                "The hub is full",
                "too_many_clients",
                "Come again later, or raise HUB_MAX_CLIENTS and the limit of open files.",
            )
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would keep events until a buffer is full
            }
        )
        if request.transport is None:
            return response  # gone already
        is_chunked = request.version >= HttpVersion11
        stream = Stream(response, request.transport, is_chunked=is_chunked)
        with self._registered(user_id, stream):
            try:
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    await self._catch_up(request, stream, token, after)
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError):
                if not response.prepared:
                    raise
                stream.drop()
            await self._keep(stream, token)
        with suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _catch_up(
        self, request: web.Request, stream: Stream, token: Token, after: int | None
    ) -> None:
        """What was missed, then what has come since the stream was registered."""
        events = await self._database.missed(token.claims, token.role, after, CATCH_UP_PAGE)
        cursor = after or 0
        if after is None:
            # From the end: the answer is the last one alone.
            cursor, events = (events[0].event_id if events else 0), []
        elif not events and cursor > (self._cursor or 0):
            # Above what the hub has heard so far; and above the log, if a backup was put back.
            found = await self._database.missed(token.claims, token.role, None, 1)
            last = found[0].event_id if found else 0
            if last > cursor:  # more has come meanwhile
                events = await self._database.missed(
                    token.claims, token.role, cursor, CATCH_UP_PAGE
                )
            cursor = min(cursor, last)
        await stream.response.prepare(request)
        await stream.write(b"retry: %d\nid: %d\n\n" % (random.randint(*RETRY), cursor))  # noqa: S311
        while events and not stream.ended.is_set():
            cursor = events[-1].event_id
            await stream.write(messages(events))
            if len(events) < CATCH_UP_PAGE:
                break
            events = await self._database.missed(token.claims, token.role, cursor, CATCH_UP_PAGE)
        stream.join(cursor)

    async def _keep(self, stream: Stream, token: Token) -> None:
        """Until it ends, or its token does."""
        while not stream.ended.is_set():
            left = KEEP_ALIVE if token.ends_at is None else token.ends_at - time.time()
            if left <= 0:
                await stream.write(b": the token has expired\n\n")
                return
            try:
                async with asyncio.timeout(min(left, KEEP_ALIVE)):
                    await stream.ended.wait()
            except TimeoutError:
                if left > KEEP_ALIVE:
                    await stream.write(b":\n\n")
        if stream.is_displaced:
            await stream.write(b"retry: %d\n\n" % random.randint(*RETRY_DISPLACED))  # noqa: S311

    @contextmanager
    def _registered(self, user_id: str, stream: Stream) -> Iterator[None]:
        streams = self._streams.setdefault(user_id, {})
        for oldest in [each for each in streams if not each.ended.is_set()][: 1 - MOST_STREAMS]:
            oldest.is_displaced = True
            oldest.ended.set()
        streams[stream] = None
        self._count += 1
        try:
            yield
        finally:
            stream.ended.set()
            self._count -= 1
            del streams[stream]
            if not streams:
                del self._streams[user_id]

    def end(self) -> None:
        """End every stream: each client comes again, with what it has seen."""
        for streams in self._streams.values():
            for stream in streams:
                stream.ended.set()

    def _token(self, request: web.Request) -> Token:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal(
                401,
                "Not signed in",
                "not_signed_in",
                "Send the access token of a signed-in user as Authorization: Bearer …",
            )
        try:
            return self._config.tokens.check(token.strip())
        except TokenFault as fault:
            raise Refusal(
                401, str(fault), "not_signed_in", "Sign in again, or refresh the token."
            ) from fault

    async def health(self, _: web.Request) -> web.Response:
        is_listening = self._listening.is_set()
        # It may listen on by a connection of before, and let nobody in: another password, a limit.
        is_open = is_listening and await self._is_open()
        return web.json_response(
            {"listening": is_listening, "open": is_open, "clients": self._count},
            status=200 if is_open else 503,
        )

    async def _is_open(self) -> bool:
        """Asked of the database once a second: anyone may ask here, as often as they like."""
        now = time.monotonic()
        if self._asked is None or (self._asked.done() and now > self._asked_at + 1):
            self._asked_at = now
            self._asked = asyncio.create_task(self._database.answers(AWAY_SECONDS))
        return await asyncio.shield(self._asked)

    async def preflight(self, _: web.Request) -> web.Response:
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "GET",
                "Access-Control-Allow-Headers": "authorization, cache-control, last-event-id",
                "Access-Control-Max-Age": "86400",
            },
        )

    async def allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if "*" in self._config.origins:
            response.headers["Access-Control-Allow-Origin"] = "*"
            return
        response.headers["Vary"] = "Origin"
        if origin in self._config.origins:
            response.headers["Access-Control-Allow-Origin"] = origin


@web.middleware
async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as error:
        refusal = error
    # Why is in the log once: the pool says it, or Hub.follow.
    except (psycopg_pool.PoolTimeout, TimeoutError):
        refusal = AWAY
    except psycopg.Error as error:
        refusal = refusal_of(error)
    answer = web.json_response(refusal.body, status=refusal.status)
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
        answer.force_close()  # who is let in later has the file
    return answer


AWAY = Refusal(503, "The database does not answer", "database_away", "Come again later.")


def refusal_of(error: psycopg.Error) -> Refusal:
    """The database's own refusal, or that it is away."""
    if found := re.fullmatch(r"PT([45][0-9]{2})", error.sqlstate or ""):
        said = error.diag
        return Refusal(
            int(found[1]),
            said.message_primary or "",
            said.message_detail or "",
            said.message_hint or "",
        )
    # A sub that is no uuid, as PostgREST answers it, or a claim that is no text of PostgreSQL's.
    if isinstance(error, psycopg.DataError):
        return Refusal(
            400,
            "The token's sub is no uuid",
            "not_signed_in",
            "Only users of this project can listen.",
        )
    _log("database_away", error=str(error).splitlines()[0])
    return AWAY


def last_event_id(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refusal(
            400,
            "Last-Event-ID is no event's id",
            "invalid_event",
            "Send the last event_id handled.",
        )
    return int(text)


def messages(events: list[Event]) -> bytes:
    # JSON from PostgreSQL has no line break in it.
    return "".join(
        f"id: {each.event_id}\nevent: {each.event}\ndata: {each.payload}\n\n" for each in events
    ).encode()


def chunk_of(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def listener(config: Config) -> socket.socket:
    """The door. What is set here holds for each connection that comes in by it."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Else the system keeps megabytes for one who does not read.
    door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER)
    # Whoever vanishes without a word is gone a while after the next message.
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * KEEP_ALIVE * 1000)
    try:
        door.bind((config.host, config.port))
    except OSError as error:
        problem = f"HUB_HOST and HUB_PORT, {config.host} and {config.port}: {error.strerror}."
        raise ConfigError("The hub", [problem]) from error
    return door


def is_loggable(record: logging.LogRecord) -> bool:
    """Not what is no request: its line would be shown, which may hold a token."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(config: Config) -> None:
    logging.getLogger("aiohttp.server").addFilter(is_loggable)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Else clients have all of them, and after a restart of the database none is left to listen by.
    if most != resource.RLIM_INFINITY:
        room = max(1, most - SPARE_FILES)
        config = replace(config, most_clients=min(config.most_clients, room))
    # With thousands of clients a full collection holds up everything for half a second, and while
    # they come it finds nothing: one at each two million objects more, not at each quarter more.
    gc.set_threshold(50_000, 10, 4)
    door = listener(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Database(config.database_url) as database:
        hub = Hub(config, database)
        runner = web.AppRunner(
            hub.app(), access_log=None, handler_cancellation=True, shutdown_timeout=5
        )
        await runner.setup()
        site = web.SockSite(runner, door, backlog=4096)
        await site.start()
        following = asyncio.create_task(hub.follow())
        _log("started", port=config.port, most_clients=config.most_clients)
        stopping = asyncio.create_task(stop.wait())
        # A fault of the hub's own ends it, and is not waited out.
        await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
        await site.stop()
        hub.end()
        await runner.cleanup()
        if following.done():
            following.result()
        following.cancel()
        _log("stopped")
