"""The demo's second part: a marketplace that was there first is adopted, used, and left again.

It has its own database, tables and policies (examples/marketplaces/garage). Its backend writes by
plain SQL, as that marketplace's does; its people call with their own rights.
"""

import json
import os
import re
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from stack import ROOT
from stack.adopt import DISCOVER, DOWN, PSQL, UP, VERIFY
from stack.install import cron_command
from stack.postgres import SUPERUSER, Cluster, binary, run_psql
from stack.stage import Broken, Stage

GARAGE = ROOT / "examples/marketplaces/garage"
FEED = "session_requests_feed"
WIDTH = 72  # of what is found
QUIET, PATIENCE = 0.15, 5.0  # seconds
CARLA, FRANK, MONA = (
    f"{n}1000000-0000-4000-8000-00000000000{m}" for n, m in (("c", 1), ("a", 1), ("a", 2))
)
# Mechanics have ids of their own there, beside the user's.
FRANK_THE_MECHANIC = "b1000000-0000-4000-8000-000000000001"
AUDIENCE = {
    f"customer:{CARLA}": ("Carla",),
    f"mechanic:{FRANK}": ("Frank",),
    f"mechanic:{MONA}": ("Mona",),
    FEED: ("Frank", "Mona"),
}
ALL = {"Carla", "Frank", "Mona"}
HIDDEN = "refused, PT404 request_not_found"

# As its backend books a favourite again: the three columns, and no word of ours.
BOOK = """
    insert into public.session_requests (
        customer_id, session_type, plan_code,
        preferred_mechanic_id, priority_window_minutes, priority_notified_at
    )
    values (%s, 'chat', 'chat10', %s, 10, now())
    returning id::text
"""
# As its route for mechanics accepts: the first gets the row.
TAKE = """
    update public.session_requests
    set mechanic_id = %s, status = 'accepted', accepted_at = now()
    where id = %s and status = 'pending' and mechanic_id is null
    returning id
"""
# Every row, but for ids and times.
ROWS = """
    select (
        to_jsonb(r) - 'id' - 'created_at' - 'accepted_at' - 'expires_at' - 'preferred_workshop_id'
    )::text
    from public.session_requests as r order by r.created_at, r.status
"""
# What discover.sql says of these is shown.
FACTS = {
    ("mechanics", "user_id"),
    ("mechanics", "is_approved"),
    ("session_requests", "mechanic_id"),
    ("session_requests", "status"),
}


@dataclass
class Flow:
    """Some statements of the marketplace's own, and what they are for."""

    title: str
    statements: str


def flows() -> tuple[str, list[Flow]]:
    """The people of flows.sql, and its numbered flows but the last, which names a favourite."""
    people, *rest = re.split(r"^-- (?=\d+ )", (GARAGE / "flows.sql").read_text(), flags=re.M)
    found = []
    for text in rest[:-1]:
        title = " ".join(re.sub(r"\n--", " ", text).partition(". expect:")[0].split()[1:])
        found.append(Flow(title, f"-- {text}"))
    return people, found


class Garage:
    """That marketplace's database, and who is on stage."""

    def __init__(self, stage: Stage, cluster: Cluster, directory: Path) -> None:
        self.stage, self.screen, self.cluster = stage, stage.screen, cluster
        self.binding = directory / "binding.sql"
        self.owner = psycopg.connect(cluster.dsn(), autocommit=True)
        self.backend = self._become("service_role")
        self.people = {
            name: self._become("authenticated", user)
            for name, user in (("Carla", CARLA), ("Frank", FRANK), ("Mona", MONA))
        }
        self.listener = psycopg.connect(cluster.dsn(), autocommit=True)
        for topic in AUDIENCE:
            self.listener.execute(sql.SQL("listen {}").format(sql.Identifier(topic)))

    def _become(self, role: str, user: str | None = None) -> psycopg.Connection[Any]:
        claims = json.dumps({"role": role} | ({"sub": user} if user else {}))
        connection = psycopg.connect(self.cluster.dsn(), autocommit=True)
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        return connection

    def close(self) -> None:
        for connection in (self.owner, self.backend, self.listener, *self.people.values()):
            connection.close()

    # --- What a scene is made of ---

    def value(self, query: str, *params: object) -> Any:
        ((answer,),) = self.owner.execute(query.encode(), params or None)
        return answer

    def schema(self) -> str:
        """As pg_dump writes all of it."""
        command = [binary("pg_dump"), "-d", self.cluster.dsn(SUPERUSER), "--schema-only"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.M)

    def shell(self, command: str) -> None:
        """Run a step of `make adopt` or `make leave`."""
        at = time.monotonic()
        shown = command.replace(str(self.binding), "binding.sql").replace(PSQL, "psql …")
        self.screen.line("Owner", "runs", shown, at)
        result = subprocess.run(  # noqa: S602  (as `make adopt` does)
            command,
            shell=True,
            cwd=ROOT,
            env=os.environ
            | {
                "DATABASE_URL": self.cluster.dsn(),
                "PGOPTIONS": "-c client_min_messages=warning",
            },
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise Broken(f"{command} failed:\n{result.stdout}{result.stderr}")

    def run(self, flow: Flow) -> list[Any]:
        """Its backend's statements; the answers."""
        answers = []
        cursor = self.backend.execute(flow.statements.encode())
        while True:
            if cursor.description:
                answers.append(cursor.fetchall())
            if not cursor.nextset():
                return answers

    def all_flows(self, show: bool = False) -> tuple[list[Any], list[Any]]:
        """All of them once; the answers, and the rows they leave. The rows are then deleted."""
        answers = []
        for flow in flows()[1]:
            at = time.monotonic()
            answer = self.run(flow)
            answers.append(answer)
            if show:
                said = "; ".join(
                    ", ".join(str(word) for word in row) for rows in answer for row in rows
                )
                self.screen.line("Its backend", "runs", f"{flow.title}: {said}", at)
        rows = self.owner.execute(ROWS.encode()).fetchall()
        self.owner.execute("delete from public.session_requests")
        return answers, rows

    def hear(self, statement: str, *expected: tuple[set[str], str]) -> list[dict[str, Any]]:
        """Show the notices as they come, by event; those expected and no other."""
        deadline = time.monotonic() + PATIENCE
        heard: list[tuple[dict[str, Any], str]] = []
        while True:
            missing = len({each["event_id"] for each, _ in heard}) < len(expected)
            wait = deadline - time.monotonic() if missing else QUIET
            more = list(self.listener.notifies(timeout=max(wait, QUIET), stop_after=1))
            if not more:
                break
            heard += [(json.loads(notice.payload), notice.channel) for notice in more]
        found = []
        for event_id in sorted({told["event_id"] for told, _ in heard}):
            told = next(each for each, _ in heard if each["event_id"] == event_id)
            topics = {topic for each, topic in heard if each["event_id"] == event_id}
            names = {name for topic in topics for name in AUDIENCE[topic]}
            text = told["event"]
            if told["event"] == "priority_request":
                text += f", {told['window_minutes']} minutes for Frank"
            if told.get("isFallbackBroadcast"):
                text += f", fallback because {told['reason']}"
            who = "Everyone" if names == ALL else ", ".join(n for n in self.people if n in names)
            self.screen.line(who, "hear" if ", " in who else "hears", text)
            found.append((names, text))
        self.stage.check(statement, found, list(expected))
        return [told for told, _ in heard]

    def see(self, statement: str, request: str, **expected: int) -> None:
        """By that marketplace's own policies."""
        query = "select count(*) from public.session_requests where id = %s"
        found = {}
        for name in expected:
            ((count,),) = self.people[name].execute(query.encode(), [request])
            found[name] = count
            text = "it" if count else "nothing"
            self.screen.line(name, "sees", f"{text}, by the marketplace's own policies")
        self.stage.check(statement, found, expected)

    def take(self, statement: str, name: str, request: str, expected: int) -> None:
        user = {"Frank": FRANK, "Mona": MONA}[name]
        count = len(self.people[name].execute(TAKE.encode(), [user, request]).fetchall())
        text = "one row" if count else "no row"
        self.screen.line(name, "updates", f"where it is pending, as the app always did: {text}")
        self.stage.check(statement, count, expected)

    def call(self, statement: str, name: str, verb: str, request: str, expected: str) -> None:
        query = sql.SQL("select public.{}(request_id => %s)").format(
            sql.Identifier(f"{verb}_session_request")
        )
        try:
            self.people[name].execute(query, [request])
            found = "done"
        except psycopg.Error as error:
            found = f"refused, {error.sqlstate} {error.diag.message_detail}"
        self.screen.line(name, f"{verb}s", f"by the RPC: {found}")
        self.stage.check(statement, found, expected)

    def book(self) -> str:
        ((request,),) = self.backend.execute(BOOK.encode(), [CARLA, FRANK_THE_MECHANIC])
        self.screen.line("Its backend", "inserts", "Carla's booking, with Frank in the column")
        return str(request)


@contextmanager
def garage(stage: Stage) -> Iterator[Garage]:
    stage.screen.note("Starting a second PostgreSQL, with a marketplace in it")
    with Cluster() as cluster, tempfile.TemporaryDirectory() as directory:
        run_psql(cluster.dsn(), "-f", str(GARAGE / "schema.sql"))
        there = Garage(stage, cluster, Path(directory))
        try:
            there.owner.execute(flows()[0].encode())
            yield there
        finally:
            there.close()


@contextmanager
def sweeping(there: Garage) -> Iterator[None]:
    """What pg_cron runs: it begins at the next full minute, and until then this is the sweep."""
    command = cron_command(there.cluster.dsn(), "dispatch-sweep")
    process = subprocess.Popen(
        ["psql", "-X", "-q", "-d", there.cluster.dsn(), "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


# --- The scenes ---


def play(stage: Stage) -> None:
    with garage(stage) as there:
        stage.scene("A marketplace that was there first, and what its backend does all day")
        before = there.schema()
        plain = there.all_flows(show=True)
        found = there.value("select to_regnamespace('dispatch') is null")
        stage.check("Nothing of ours is there", found, True)
        adopted(there, plain)
        with sweeping(there):
            declined(there)
            window_over(there, plain)
        left(there, before)


def facts(binding: str) -> Iterator[str]:
    """The main ones of what discover.sql found, with its evidence."""
    table = ""
    for line in binding.splitlines():
        if found := re.match(r"-- public\.(\w+): .* looked at", line):
            table = found[1]
        elif (found := re.match(r"--   (\w+) +(.*)", line)) and (table, found[1]) in FACTS:
            evidence = found[2].partition(";")[0].removeprefix(f"{found[1]}: ").rstrip(",")
            yield textwrap.shorten(f"{table}.{found[1]}: {evidence}", WIDTH, placeholder=" …")


def adopted(there: Garage, plain: tuple[list[Any], list[Any]]) -> None:
    stage = there.stage
    stage.scene("It is adopted; the flag is off")
    there.shell(DISCOVER.format(binding=there.binding))
    for fact in facts(there.binding.read_text()):
        there.screen.line("", "finds", fact)
    there.shell(UP["engine"].format(binding=f"-v binding={there.binding} "))
    there.shell(UP["feature"])
    there.shell(VERIFY)
    stage.check(
        "The flag is off", there.value("select dispatch.favorites_priority_enabled()"), False
    )
    columns = dict.fromkeys(
        ("preferred_mechanic_id", "priority_window_minutes", "priority_notified_at")
    )
    answers, rows = there.all_flows()
    rows = [json.loads(row) for (row,) in rows]
    stage.check("Each of its statements answers what it did", answers, plain[0])
    stage.check(
        "And writes the same rows", rows, [json.loads(row) | columns for (row,) in plain[1]]
    )
    there.screen.line("Its backend", "runs", f"all {len(answers)} again: the same answers and rows")
    there.hear("Nobody hears of anything")
    count = there.value("select count(*) from dispatch.request_events")
    stage.check("Nothing is logged", count, 0)


def declined(there: Garage) -> None:
    stage = there.stage
    stage.scene("The flag is on: Carla books Frank again, and Frank declines")
    there.owner.execute("select dispatch.set_favorites_priority(true)")
    there.screen.line("Owner", "turns on", "ENABLE_FAVORITES_PRIORITY")
    request = there.book()
    there.hear(
        "Only Carla and Frank hear of it",
        ({"Carla", "Frank"}, "priority_request, 10 minutes for Frank"),
    )
    there.see("Only Frank sees it", request, Frank=1, Mona=0)
    there.take("Mona's UPDATE finds no row, as if somebody had been faster", "Mona", request, 0)
    there.call("The RPC says why: to Mona it does not exist", "Mona", "accept", request, HIDDEN)
    there.call("Frank declines", "Frank", "decline", request, "done")
    heard = there.hear(
        "Everyone hears of it at once",
        ({"Frank"}, "request_declined"),
        (ALL, "new_request, fallback because declined"),
    )
    told = [
        each.get("request")
        for each in heard
        if each["event"] == "new_request" and each.get("isFallbackBroadcast") is True
    ]
    there.screen.line(
        "", "with", f'{{"request": {{"id": "{request[:8]}…"}}, "isFallbackBroadcast": true}}'
    )
    stage.check(
        "Its own listeners find the request's id where they look", told[:1], [{"id": request}]
    )
    there.take("Mona takes it by that marketplace's own UPDATE", "Mona", request, 1)
    there.hear("Everyone hears that it is taken", (ALL, "request_accepted"))


def window_over(there: Garage, plain: tuple[list[Any], list[Any]]) -> None:
    stage = there.stage
    stage.scene("Frank stays silent")
    request = there.book()
    there.hear(
        "Only Carla and Frank hear of it",
        ({"Carla", "Frank"}, "priority_request, 10 minutes for Frank"),
    )
    there.screen.note("His ten minutes are moved into the past, so as not to wait for them.")
    there.owner.execute(
        "update public.session_requests set priority_notified_at = priority_notified_at"
        " - make_interval(mins => priority_window_minutes) where id = %s",
        [request],
    )
    there.hear(
        "When they are over, everyone hears of it",
        (ALL, "new_request, fallback because window_ended"),
    )
    there.see("All see it", request, Frank=1, Mona=1)
    there.call("Mona takes it, by the RPC this time", "Mona", "accept", request, "done")
    there.hear("Everyone hears that it is taken", (ALL, "request_accepted"))
    there.owner.execute("delete from public.session_requests")
    list(there.listener.notifies(timeout=QUIET))
    answers, _ = there.all_flows()
    there.screen.line(
        "Its backend", "runs", f"all {len(answers)} again, with the flag on: the same"
    )
    stage.check("With the flag on, too, its other statements answer the same", answers, plain[0])
    there.hear("And nobody hears of them")


def left(there: Garage, before: str) -> None:
    stage = there.stage
    stage.scene("It is left again")
    for command in DOWN.values():
        there.shell(command.format(confirmed=""))
    same = there.schema() == before
    there.screen.line("pg_dump", "writes", "what it wrote before" if same else "something else")
    stage.check("Its schema is to the letter what it was", same, True)
