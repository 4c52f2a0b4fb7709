"""Takes pushes, encrypts and sends them, and tells the database what came of each."""

import asyncio
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

import aiohttp
import psycopg
import psycopg_pool
from pywebpush import WebPusher, WebPushException

from app_base.process import log

from .config import Config
from .database import Answer, Database, Push

_log = partial(log, "push_app")

# How long it waits for a notice before it looks by itself: for what is due again, and where a
# pooler lets no notice through.
LOOK_EVERY = 1
# Full, it waits for more room than that of the first that is done: to ask for each one alone would
# be a query for each.
LINGER = 0.01
# Told to stop, it waits so long for a database that is away. What it cannot tell of, another sends
# again.
LAST_WORD_SECONDS = 5
# A token is good for 24 hours at most (RFC 8292).
TOKEN_SECONDS = 12 * 3600
TOKEN_REUSED = 3600


class Sender:
    def __init__(self, config: Config, database: Database, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._database = database
        self._session = session
        self._wake = asyncio.Event()
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._sending: set[asyncio.Task[None]] = set()
        self._tokens: dict[str, tuple[float, str]] = {}
        self._stopped = False

    def stop(self) -> None:
        """Take no more; what has begun is finished."""
        self._stopped = True
        self._wake.set()

    async def run(self) -> None:
        """Send until told to stop."""
        listening = asyncio.create_task(self._database.listen(self._wake))
        finishing = asyncio.create_task(self._finish())
        try:
            while not self._stopped:
                await self._take()
                if len(self._sending) < self._config.concurrency:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_EVERY)
                else:
                    await asyncio.wait(
                        self._sending, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED
                    )
                    await asyncio.sleep(LINGER)
        finally:
            listening.cancel()
            if self._sending:
                await asyncio.wait(self._sending)
            try:
                await asyncio.wait_for(self._answers.join(), LAST_WORD_SECONDS)
            except TimeoutError:
                _log("answers_not_told")
            finishing.cancel()

    async def _take(self) -> None:
        self._wake.clear()
        room = self._config.concurrency - len(self._sending)
        try:
            pushes = await self._database.claim(room)
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            _log("database_away", error=str(error).splitlines()[0])
            return
        for push in pushes:
            task = asyncio.create_task(self._send(push))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if len(pushes) == room:
            self._wake.set()  # there may be more

    async def _send(self, push: Push) -> None:
        began = time.monotonic()
        status, retry_after, reason = None, None, None
        try:
            body = _encrypted(push)
        except (ValueError, WebPushException) as error:
            # No point of the curve: nobody can read it, as on a device that is gone.
            status, reason = 410, f"the device's keys: {error}"
        else:
            try:
                # Not elsewhere: the database knows these addresses alone.
                async with self._session.post(
                    push.endpoint, data=body, headers=self._headers(push), allow_redirects=False
                ) as response:
                    status = response.status
                    retry_after = _seconds(response.headers.get("Retry-After"))
            # (A ValueError: the address is none.)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = type(error).__name__
        _log(
            "push",
            push_id=push.push_id,
            service=urlsplit(push.endpoint).hostname,
            status=status,
            milliseconds=round((time.monotonic() - began) * 1000),
            **({"error": reason} if reason else {}),
        )
        self._answers.put_nowait(Answer(push.push_id, status, retry_after))

    async def _finish(self) -> None:
        """Tell the database, as many at once as there are. Told again until it is there: what it
        never hears of, another sender sends again when the time is up."""
        while True:
            answers = [await self._answers.get()]
            while not self._answers.empty():
                answers.append(self._answers.get_nowait())
            while True:
                try:
                    await self._database.finish(answers)
                    break
                except psycopg.DataError as error:
                    # It never will be: they are sent again, which is better than no other told of.
                    _log("answers_refused", error=str(error).splitlines()[0])
                    break
                except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
                    _log("database_away", error=str(error).splitlines()[0])
                    await asyncio.sleep(1)
            for _ in answers:
                self._answers.task_done()

    def _headers(self, push: Push) -> dict[str, str]:
        return {
            "TTL": str(push.ttl),
            "Urgency": push.urgency,
            "Topic": push.topic,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Authorization": self._token(push.endpoint),
        }

    def _token(self, endpoint: str) -> str:
        """One signature for all pushes to a service, for an hour."""
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        made, token = self._tokens.get(origin, (0.0, ""))
        if not token or not 0 <= time.time() - made < TOKEN_REUSED:
            made = time.time()
            claims = {"aud": origin, "exp": int(made) + TOKEN_SECONDS, "sub": self._config.subject}
            token = self._config.signer.sign(claims)["Authorization"]
            self._tokens[origin] = (made, token)
        return token


def _encrypted(push: Push) -> bytes:
    device = {"endpoint": push.endpoint, "keys": {"p256dh": push.p256dh, "auth": push.auth}}
    return bytes(WebPusher(device).encode(push.payload.encode())["body"])


def _seconds(retry_after: str | None) -> int | None:
    """Retry-After is seconds, or a date (RFC 9110); more than a day is a day."""
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdecimal():
            wait = float(retry_after)
        else:
            until = parsedate_to_datetime(retry_after)
            # One without a zone is UTC's.
            wait = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return round(min(max(wait, 0), 86400))


async def serve(config: Config) -> None:
    """Send until SIGTERM or SIGINT."""
    timeout = aiohttp.ClientTimeout(total=config.timeout)
    connector = aiohttp.TCPConnector(limit=config.concurrency)
    async with (
        Database(config.database_url) as database,
        # A push service has no cookies for us.
        aiohttp.ClientSession(
            timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        ) as session,
    ):
        sender = Sender(config, database, session)
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, sender.stop)
        await sender.run()
