"""Each role against other people's bookings: no RPC shows or changes one, whatever its state, and
nothing that is typed in anywhere becomes SQL."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from stack.postgres import Cluster
from tests.database import (
    TEMPLATE,
    Connection,
    Database,
    Row,
    catalogue,
    fresh_database,
    rows,
    rpc,
)

# Its text, as tests.database writes it into every request.
PERSONAL = ("Zoe Quill", "zoe.quill@mail.example", "the blue one", "door code")
RPCS = """
    select
        p.proname as name, p.proargnames[:p.pronargs] as names,
        array(select format_type(t, null) from unnest(p.proargtypes) as t) as types
    from pg_proc as p where p.pronamespace = 'public'::regnamespace
"""
HOSTILE = [
    "'; drop table public.session_requests; --",
    "') or 1=1 --",
    "$$; select pg_sleep(60); $$",
    "%s %I %L %%",
    "\\'; \\x00 \\",
    "${jndi:ldap://x} {{7*7}}",
    "<script>alert(1)</script>",
    "\u202e👩🏽‍🔧",
    "(a+)+$" * 20,
    "x" * 1_000_000,
]


@pytest.fixture(scope="module")
def db(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, TEMPLATE) as database:
        yield database


@pytest.fixture(scope="module")
def victims(db: Database) -> dict[str, str]:
    """A request of each state; one customer's, a favourite's and another mechanic's."""
    customer, favourite, other = db.make_customer(), db.make_mechanic(), db.make_mechanic()

    def book(preferred: str | None = None, **change: object) -> str:
        request = db.make_request(customer, preferred, metadata={"door": "door code"})
        for column, value in change.items():
            db.sql(f"update session_requests set {column} = %s where id = %s", value, request)
        return request

    db.sql("insert into customer_favorites values (%s, %s)", customer, favourite)
    found = {
        "reserved": book(favourite),
        "broadcast": book(),
        "cancelled": book(status="cancelled"),
        "expired": book(favourite, status="expired"),
    }
    for state in ("accepted", "completed"):
        found[state] = book()
        rpc(db.connect(other), "accept_session_request", request_id=found[state])
    rpc(db.connect(other), "complete_session_request", request_id=found["completed"])
    return found


def mechanic(status: str) -> Callable[[Database], Connection]:
    return lambda db: db.connect(db.make_mechanic(status))


INTRUDERS: dict[str, Callable[[Database], Connection]] = {
    "anon": lambda db: db.connect(role="anon"),
    "nobody": lambda db: db.connect(),
    "another issuer's": lambda db: db.connect(role="authenticated", sub="auth0|1' or '1'='1"),
    "customer": lambda db: db.connect(db.make_customer()),
    "applicant": mechanic("pending"),
    "suspended": mechanic("suspended"),
    "mechanic": mechanic("approved"),
    "service_role": lambda db: db.connect(role="service_role"),
    "webhook_app": lambda db: db.open("webhook_app"),
}


def attempt(connection: Connection, function: str, given: Row) -> str:
    """The answer, or all that the error tells: one of the contract's, of rights, or of a type."""
    try:
        return str(rpc(connection, function, **given))
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith(("PT", "42501", "22")):
            raise
        diag = error.diag
        return f"{error} {diag.message_detail} {diag.message_hint}"


def fill(names: list[str], types: list[str], text: str, a_uuid: str) -> Row:
    values: dict[str, Any] = {
        "uuid": a_uuid,
        "uuid[]": f"{{{a_uuid}}}",
        "text": text,
        "integer": 5,
        "bigint": 0,
        "boolean": True,
        "jsonb": {"id": text, "type": text, "data": {"object": {"id": text}}},
    }
    return {name: values[kind] for name, kind in zip(names or [], types, strict=True)}


@pytest.mark.parametrize("who", INTRUDERS)
def test_no_call_shows_or_changes_another_persons_request(
    db: Database, victims: dict[str, str], who: str
) -> None:
    connection = INTRUDERS[who](db)
    requests = list(victims.values())
    if who == "mechanic":  # what was open to every mechanic is no other person's
        requests = [victims["reserved"], victims["expired"]]

    def state() -> list[Row]:
        return [row for request in requests for row in (db.request(request), *db.events(request))]

    before = state()
    for function in db.sql(RPCS):
        for request in requests:
            given = fill(function["names"], function["types"], "quick-chat", request)
            answer = attempt(connection, function["name"], given)
            assert not [text for text in PERSONAL if text in answer], function["name"]
            shown = answer.replace(request, "")  # what was asked for may come back
            assert not [each for each in requests if each in shown], function["name"]
    assert state() == before


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_sql(db: Database, victims: dict[str, str], text: str) -> None:
    """In each argument of each function that a client or the webhook may call."""
    schema = catalogue(db)
    caller = db.connect(db.make_mechanic())
    webhook = db.open("webhook_app")
    before = [db.request(request) for request in victims.values()]
    for function in db.sql(RPCS):
        connection = webhook if function["name"] == "process_stripe_event" else caller
        given = fill(function["names"], function["types"], text, str(uuid.uuid4()))
        attempt(connection, function["name"], given)
    for action in ("join", text):
        query = "select dispatch.may_use_topic(%s, %s, %s)"
        assert rows(caller, query, action, text, text)[0]["may_use_topic"] is None
    assert catalogue(db) == schema
    assert [db.request(request) for request in victims.values()] == before


def test_a_hostile_payment_is_booked_as_it_is_written(db: Database) -> None:
    """Each text of a paid session, kept as text: in the row, and not in a notice."""
    schema, mechanic = catalogue(db), db.make_mechanic()
    ears = db.open()
    ears.execute("listen session_requests_feed")
    for text in HOSTILE[:-1]:
        event: Row = {
            "id": f"evt_{uuid.uuid4().hex}",
            "type": "checkout.session.completed",
            "data": {
                "object": {
                    "id": f"cs_{text}",
                    "payment_status": "paid",
                    "payment_intent": text,
                    "customer_details": {"name": text, "email": text, "address": {"city": text}},
                    "metadata": {
                        "customer_id": db.make_customer(),
                        "plan_code": "quick-chat",
                        "routing_type": "priority_broadcast",
                        "preferred_mechanic_id": text,
                        "priority_window_minutes": text,
                        "skip_if_offline": text,
                        "requested_brand": text,
                        "notes": text,
                    },
                }
            },
        }
        answer = rpc(db.open("webhook_app"), "process_stripe_event", event=event)
        row = db.request(answer["request_id"])
        names = ("customer_name", "customer_email", "notes", "requested_brand", "customer_city")
        assert {row[name] for name in names} == {text}
        assert not [event for event in db.events(str(row["id"])) if text in str(event["payload"])]
        rpc(db.connect(mechanic), "accept_session_request", request_id=row["id"])
    assert catalogue(db) == schema
    for notice in ears.notifies(timeout=0):
        assert not [text for text in HOSTILE if text in notice.payload]


ESTIMATES = [
    ("session_requests", "preferred_mechanic_id"),
    ("session_requests", "mechanic_id"),
    ("session_requests", "customer_id"),
    ("customer_favorites", "customer_id"),
    # An applicant's, whose row nobody sees.
    ("mechanics", "display_name"),
]


@pytest.mark.parametrize(("table", "column"), ESTIMATES)
def test_an_estimate_tells_nothing_of_a_person(shared: Database, table: str, column: str) -> None:
    """The planner's, which PostgREST gives for `Prefer: count=planned`; no policy is asked."""
    busy, idle, stranger = (str(uuid.uuid4()) for _ in range(3))
    superuser = shared.superuser()
    superuser.execute("set session_replication_role = replica")
    columns = {
        "session_requests": ["customer_id", "mechanic_id", "session_type", "preferred_mechanic_id"],
        "customer_favorites": ["customer_id", "mechanic_id"],
        "mechanics": ["id", "display_name", "status"],
    }[table]
    values = [
        f"case when n <= 100 then '{busy}'::uuid else gen_random_uuid() end"
        if name == column
        else {
            "session_type": "'chat'",
            "status": "case when n <= 100 then 'pending' else 'approved' end",
        }.get(name, "gen_random_uuid()")
        for name in columns
    ]
    superuser.execute(
        f"insert into public.{table} ({', '.join(columns)}) select {', '.join(values)}"
        " from generate_series(1, 1000) as n".encode()
    )
    superuser.execute(f"analyze public.{table}".encode())
    connection = shared.connect(stranger)

    def estimate(user: str) -> int:
        query = f"explain (format json) select 1 from public.{table} where {column} = '{user}'"
        ((plan,),) = connection.execute(query.encode()).fetchall()
        return int(plan[0]["Plan"]["Plan Rows"])

    assert estimate(busy) == estimate(idle)


def test_what_the_planner_knew_is_left_by_analyze(db: Database) -> None:
    """So it is to be deleted, as the docs and verify say; what is not there does not come again."""
    superuser = db.superuser()
    known = (
        "select count(*) from pg_stats where tablename = 'mechanics' and attname = 'display_name'"
    )
    for _ in range(10):
        db.make_mechanic()
    for target in (100, 0):
        alter = f"alter table mechanics alter display_name set statistics {target}"
        superuser.execute(alter.encode())
        superuser.execute("analyze mechanics")
    assert db.value(known) == 1
    superuser.execute(
        "delete from pg_statistic where starelid = 'mechanics'::regclass and staattnum ="
        " (select attnum from pg_attribute where attrelid = starelid and attname = 'display_name')"
    )
    superuser.execute("analyze mechanics")
    assert db.value(known) == 0
