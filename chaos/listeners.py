"""Those who listen, in a process of their own, so that it can be killed.

Each listens on its topics, and reads the event log from its cursor after each notice and each
reconnect. What they heard and read goes to a journal, from which the next process goes on.
"""

import itertools
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from chaos.client import Client
from chaos.record import Answer, Listening, Notice, Record
from chaos.threads import Threads
from stack import ROOT
from stack.clients import Env
from stack.services import Service, tail

NAME = "listeners"


class Journal:
    """One JSON object a line; a line that a kill cut short is as if it had not happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.file = path.open("a", buffering=1)
        self.file.write("\n")  # ends such a line

    def write(self, kind: str, **fields: object) -> None:
        with self.lock:
            self.file.write(json.dumps({"kind": kind} | fields) + "\n")

    def keep(self, answer: Answer) -> None:
        self.write("answer", **asdict(answer) | {"shown": sorted(answer.shown)})


class Recorder(Protocol):
    def write(self, kind: str, **fields: Any) -> None: ...
    def keep(self, answer: Answer) -> None: ...


class RecordKeeper:
    """Writes into a record at once, for listeners in the record's own process."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.keep = record.answers.append

    def write(self, kind: str, **fields: Any) -> None:
        match kind:
            case "answer":
                fields["shown"] = frozenset(fields["shown"])
                self.keep(Answer(**fields))
            case "notice":
                self.record.notices.append(Notice(**fields))
            case "listed":
                self.record.listed[fields["user"]] += fields["events"]
            case "listening":
                listening = Listening(**fields)
                self.record.listening[listening.connection] = listening


def read_journal(path: Path, record: Record) -> None:
    """Add what is in a journal to a record."""
    keeper = RecordKeeper(record)
    for line in path.read_text().splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        keeper.write(fields.pop("kind"), **fields)


class Listener(Client):
    # Of connections; one count for all listeners, as a record may outlive them.
    numbers = itertools.count()

    def __init__(
        self, env: Env, journal: Recorder, user: str, topics: tuple[str, ...], cursor: int
    ) -> None:
        super().__init__(env, journal.keep, user)
        self.env, self.journal = env, journal
        self.topics, self.cursor, self.behind = topics, cursor, True
        self.connection: psycopg.Connection[Any] | None = None
        self.listening = Listening(user, "", 0)

    def close(self) -> None:
        super().close()
        if self.connection:
            self.connection.close()

    def act(self) -> None:
        self.hear(0.3, stop_after=1)
        if self.behind:
            self.behind = not self.catch_up()

    def hear(self, seconds: float, stop_after: int | None = None) -> None:
        try:
            connection = self.connection or self.listen()
            for notice in connection.notifies(timeout=seconds, stop_after=stop_after):
                self.write(notice)
        except psycopg.OperationalError:
            self.connection = None

    def listen(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self.env["DATABASE_URL"], autocommit=True, connect_timeout=5, application_name=NAME
        )
        for topic in self.topics:
            connection.execute(sql.SQL("listen {}").format(sql.Identifier(topic)))
        self.connection, self.behind = connection, True
        name = f"{self.user} {os.getpid()} {next(self.numbers)}"
        self.listening = Listening(self.user, name, time.time())
        self.journal.write("listening", **asdict(self.listening))
        return connection

    def write(self, notice: psycopg.Notify) -> None:
        self.behind = True
        payload = json.loads(notice.payload)
        heard = Notice(
            self.user,
            self.listening.connection,
            notice.channel,
            payload["event_id"],
            payload["request_id"],
            time.time(),
        )
        self.journal.write("notice", **asdict(heard))

    def catch_up(self) -> bool:
        """Read to the end; False: an answer was lost."""
        while True:
            page = self.rpc("catch up", "list_session_request_events", after=self.cursor)
            if not page:
                return page is not None
            events = [row["event_id"] for row in page]
            self.journal.write("listed", user=self.user, events=events)
            self.cursor = events[-1]

    def finish(self) -> None:
        """All is quiet: hear what is still on its way, and read to the end."""
        quiet_since = time.time()
        self.hear(2)
        if self.connection:
            self.listening.ended = quiet_since
            self.journal.write("listening", **asdict(self.listening))
        while not self.catch_up():
            time.sleep(0.2)


def journal_path(directory: Path) -> Path:
    return directory / f"{NAME}.jsonl"


def is_over(journal: Path) -> Path:
    """The file that tells the listeners so; a signal might come before they can take it."""
    return journal.with_suffix(".over")


def service(directory: Path, env: Env, topics: dict[str, tuple[str, ...]]) -> Service:
    """All the listeners; see `finish`."""
    path = journal_path(directory)
    path.write_text("")
    is_over(path).unlink(missing_ok=True)
    return Service(
        NAME,
        directory,
        [sys.executable, "-m", "chaos.listeners", str(path), json.dumps(topics)],
        lambda: True,
        {**env, "PYTHONPATH": str(ROOT)},
    )


def finish(service: Service) -> None:
    """All is quiet: they read to the end, and end."""
    is_over(journal_path(service.directory)).touch()
    assert service.process
    if service.process.wait(120) != 0:
        raise RuntimeError(f"The listeners did not finish: {tail(service.log)}")


def listeners_of(record: Record, env: Env, journal: Recorder) -> list[Listener]:
    """One for each user of the record's topics, who goes on where the record ends."""
    return [
        Listener(env, journal, user, topics, max(record.listed[user], default=0))
        for user, topics in record.topics.items()
    ]


def main(path: Path, topics: dict[str, list[str]], env: Env) -> None:
    record = Record(listed={user: [] for user in topics})
    read_journal(path, record)
    record.topics |= {user: tuple(each) for user, each in topics.items()}
    listeners = listeners_of(record, env, Journal(path))
    with Threads() as listening:
        for listener in listeners:
            listening.repeat(listener.act, 0.1)
        while not is_over(path).exists():
            time.sleep(0.1)
    with ThreadPoolExecutor(len(listeners)) as finishing:
        list(finishing.map(Listener.finish, listeners))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), os.environ)
