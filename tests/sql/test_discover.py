"""What sql/discover.sql finds in marketplaces of several shapes, and the binding that it writes."""

import os
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from stack import ROOT
from stack.install import install, install_on_theirs
from stack.postgres import Cluster, binary, run_psql
from tests.database import Database, Row, dump
from tests.further import further_but

DISCOVER = ROOT / "sql/discover.sql"
SHAPES = ROOT / "examples/marketplaces"
REFERENCE = ROOT / "functions/binding/reference.sql"
BOUND = ["garage", "by_user", "enums", "half_known", "camel_case", "grown"]
CARLA, FRANK, MONA = (f"{n}0000000-0000-4000-8000-000000000001" for n in "caf")
# Theirs, beside the users' ids.
FRANKS, MONAS = (f"b0000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
USERS = f"""
insert into auth.users (id) values ('{CARLA}'), ('{FRANK}'), ('{MONA}');
"""
# In each: Frank is approved and Carla's favourite, Mona is not.
ROWS = {
    "garage": f"""
    insert into mechanics (id, user_id, name, application_status, is_available, last_updated, city)
    values
    ('{FRANKS}', '{FRANK}', 'Frank', 'approved', true, '2026-01-01Z', 'Laval'),
    ('{MONAS}', '{MONA}', 'Mona', null, null, null, null);
    insert into customer_favorites (customer_id, mechanic_id, workshop_id, added_at) values
    ('{CARLA}', '{FRANKS}', null, '2026-01-02Z'), ('{CARLA}', null, gen_random_uuid(), now());
    insert into service_plans (slug, name, price, duration_minutes, description) values
    ('quick10', 'Quick', 9.99, 10, ''), ('video30', 'Seeing is better', 29.99, 30, '');
    insert into session_requests (customer_id, mechanic_id, session_type, plan_code) values
    ('{CARLA}', null, 'chat', 'quick10'), ('{CARLA}', '{FRANK}', 'chat', 'quick10'),
    ('{CARLA}', null, 'video', 'video30');
    """,
    "by_user": f"""
    insert into mechanics (id, full_name, status, online, last_seen, makes, town) values
    ('{FRANK}', 'Frank', 'approved', true, '2026-01-01Z', 'Audi , BMW', 'Ulm'),
    ('{MONA}', 'Mona', 'paused', false, null, null, null);
    insert into customer_favorites values ('{CARLA}', '{FRANK}', '2026-01-02Z');
    insert into service_plans values
    ('c1', 'Chat', 'chat', 999, 'EUR', false), ('v1', 'Visit', 'visit', 2999, 'EUR', true);
    insert into session_requests (customer_id, session_type, plan_code)
    values ('{CARLA}', 'chat', 'c1');
    """,
    "enums": f"""
    insert into mechanics (id, profile_id, first_name, last_name, verified, brands, city) values
    ('{FRANKS}', '{FRANK}', 'Frank', 'Ferro', true, '["Audi"]', 'Ulm'),
    ('{MONAS}', '{MONA}', 'Mona', null, false, '{{}}', null);
    insert into favorite_mechanics values ('{CARLA}', '{FRANKS}', '2026-01-02');
    insert into plans (key, label, price_cents) values
    ('basic', 'Basic', 999), ('big', 'Garage-visit', 9900);
    insert into session_requests (customer_id, mechanic_id, plan_code)
    values ('{CARLA}', '{FRANKS}', 'basic');
    """,
    "half_known": f"""
    insert into mechanics (id, user_id, owner_id, application_status, is_online, "Brands we fix")
    values
    ('{FRANKS}', '{FRANK}', '{MONA}', 'approved', true, 'Audi,BMW'),
    ('{MONAS}', '{MONA}', '{MONA}', 'new', null, null);
    insert into customer_favorites values ('{CARLA}', '{FRANKS}');
    insert into service_plans values ('ten', 'A10', 'Chat', 10), ('thirty', 'A30', 'Video', 30);
    insert into session_requests (customer_id, mechanic_id, session_type, plan_code) values
    ('{CARLA}', null, 'chat', 'A10'), ('{CARLA}', '{FRANKS}', 'chat', 'A30');
    """,
    "camel_case": f"""
    insert into mechanics (id, "userId", "displayName", "isApproved", "isOnline", "lastSeen") values
    ('{FRANKS}', '{FRANK}', 'Frank', true, true, '2026-01-01Z'),
    ('{MONAS}', '{MONA}', 'Mona', false, false, null);
    insert into customer_favorites ("customerId", "favoriteType", "favoriteId") values
    ('{CARLA}', 'mechanic', '{FRANKS}'), ('{CARLA}', 'workshop', gen_random_uuid());
    insert into service_plans (code, "displayName", "sessionType", "priceCents") values
    ('c1', 'Chat', 'chat', 999), ('v1', 'Video', 'video', 2999);
    insert into session_requests (customer_id, session_type, plan_code)
    values ('{CARLA}', 'chat', 'c1');
    """,
    "grown": f"""
    insert into mechanics (id, account, business_name, approved_at, brands, town) values
    ('{FRANKS}', '{FRANK}', 'Frank', '2026-01-01Z', '["Audi"]', 'Ulm'),
    ('{MONAS}', '{MONA}', 'Mona', null, null, null);
    insert into customer_favorites (customer_id, mechanic_id, unfavorited_at)
    values ('{CARLA}', '{FRANKS}', null), ('{CARLA}', '{MONAS}', now());
    insert into service_plans values ('c1', 'Chat', 'chat', 999), ('v1', 'Video', 'video', 2999);
    insert into session_requests (customer_id, mechanic_id, session_type, plan_code, status)
    values ('{CARLA}', '{FRANKS}', 'chat', 'c1', 'accepted');
    """,
}
COLUMNS = {
    "mechanics": {
        "id": "uuid",
        "user_id": "uuid",
        "display_name": "text",
        "is_approved": "boolean",
        "is_online": "boolean",
        "last_seen_at": "timestamp with time zone",
        "brands": "text[]",
        "city": "text",
        "country": "text",
    },
    "plans": {
        "code": "text",
        "title": "text",
        "session_type": "text",
        "price_cents": "integer",
        "currency": "text",
        "is_active": "boolean",
    },
    "favorites": {
        "customer_id": "uuid",
        "mechanic_id": "uuid",
        "favorited_at": "timestamp with time zone",
    },
}


class Found(NamedTuple):
    status: int
    text: str
    errors: str

    @property
    def report(self) -> str:
        """The comments before the binding, each thing or question in one line."""
        head = self.text.partition("\n\ncreate ")[0]
        return re.sub(r"\n--(?: {16,}| (?=\S)(?!QUESTION))", " ", head)

    @property
    def questions(self) -> list[str]:
        return re.findall(r"^-- (QUESTION: .*)$", self.report, re.MULTILINE)

    def asks(self, *words: str) -> bool:
        return any(all(word in question for word in words) for question in self.questions)


def discover(db: Database, user: str = "postgres", **settings: str) -> Found:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    result = subprocess.run(
        ["psql", "-X", "-q", "-d", db.dsn(user), "-f", str(DISCOVER)],
        capture_output=True,
        text=True,
        env=os.environ | {"PGOPTIONS": options},
    )
    return Found(result.returncode, result.stdout, result.stderr)


def found_in(db: Database, **settings: str) -> Found:
    found = discover(db, **settings)
    assert (found.status, found.errors) == (0, "")
    return found


def make(
    db: Database, shape: str, with_rows: bool = True, changes: dict[str, str] | None = None
) -> None:
    schema = (SHAPES / shape / "schema.sql").read_text()
    for old, new in (changes or {}).items():
        assert old in schema
        schema = schema.replace(old, new)
    db.owner.execute(schema.encode())
    if with_rows:
        db.owner.execute((USERS + ROWS[shape]).encode())


def bind(db: Database, tmp_path: Path, text: str, times: int = 2) -> None:
    """Run the binding where the engine's up.sql does, which may be run again."""
    db.sql("create schema if not exists dispatch")
    db.sql(
        "create table if not exists dispatch.presence (mechanic_id uuid primary key,"
        " is_online boolean not null, last_seen_at timestamptz not null)"
    )
    file = tmp_path / "binding.sql"
    file.write_text(text)
    for _ in range(times):
        run_psql(db.dsn(), "-f", str(file))


def constants(db: Database) -> Row:
    (row,) = db.sql(
        "select dispatch.governs_all() as governs_all, dispatch.assigns_user_id() as"
        " assigns_user_id, dispatch.approval_columns() as approval_columns,"
        " dispatch.feed_is_private() as feed_is_private, dispatch.taken_off() as taken_off,"
        " dispatch.open_to() as open_to"
    )
    return row


def everything(db: Database) -> str:
    command = [binary("pg_dump"), "-d", db.dsn(), "-n", "public", "-n", "auth"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("with_rows", [True, False], ids=["rows", "empty"])
@pytest.mark.parametrize("shape", BOUND)
def test_the_binding_is_the_contracts(
    empty_db: Database, tmp_path: Path, shape: str, with_rows: bool
) -> None:
    db = empty_db
    make(db, shape, with_rows)
    bind(db, tmp_path, found_in(db).text)
    for view, columns in COLUMNS.items():
        found = db.sql(
            "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
            " where attrelid = %s::regclass order by attnum",
            f"dispatch.{view}",
        )
        assert {row["attname"]: row["type"] for row in found} == columns
        assert len(db.sql(f"select * from dispatch.{view}")) == (
            (1 if view == "favorites" else 2) if with_rows else 0
        )
    assert db.value("select count(*) from dispatch.mechanics where is_approved is null") == 0
    found = db.sql(
        "select proname, provolatile, prosecdef, proconfig from pg_proc"
        " where pronamespace = 'dispatch'::regnamespace order by proname"
    )
    named = re.findall(r"function dispatch\.(\w+)\(", REFERENCE.read_text())
    assert [row["proname"] for row in found] == sorted(named)
    for row in found:
        assert row["provolatile"] == b"i" or row["provolatile"] == "i"
        assert not row["prosecdef"]
        assert row["proconfig"] == ["search_path=pg_catalog, pg_temp"]
    assert constants(db)["governs_all"] is False


@pytest.mark.parametrize("with_rows", [True, False], ids=["rows", "empty"])
@pytest.mark.parametrize("shape", further_but(["garage"], BOUND))
def test_it_reads_only(empty_db: Database, shape: str, with_rows: bool) -> None:
    make(empty_db, shape, with_rows)
    before = everything(empty_db)
    found = found_in(empty_db)
    assert found_in(empty_db, default_transaction_read_only="on") == found
    assert found_in(empty_db, standard_conforming_strings="off") == found
    assert everything(empty_db) == before
    assert empty_db.value("select count(*) from pg_namespace where nspname = 'dispatch'") == 0


@pytest.mark.parametrize("shape", BOUND)
def test_its_text_is_tidy_and_shows_nobody(empty_db: Database, shape: str) -> None:
    make(empty_db, shape)
    found = found_in(empty_db)
    assert max(map(len, found.text.splitlines())) <= 100
    assert not re.search(r"[ \t]$|\t", found.text, re.MULTILINE)
    for personal in ("Frank", "Mona", "Ulm", "Laval", CARLA, FRANK, FRANKS):
        assert personal not in found.text


def test_garage(empty_db: Database, tmp_path: Path) -> None:
    """The mechanic's own id beside the user's, text statuses, a numeric price."""
    db = empty_db
    make(db, "garage")
    found = found_in(db)
    for line in (
        "user_id: by foreign key to auth.users (id); 2 of 2 values are users' ids",
        "application_status: its CHECK knows draft, pending, under_review, approved, rejected",
        "slug: 2 of the 2 plan_codes of session_requests are values of it",
        "price: by its name; numeric(10,2), taken as whole units; its values are 9.99, 29.99",
        "the user's id, by foreign key to auth.users (id); by policies that compare it with",
        "text, knows pending, accepted, cancelled, expired, completed, unattended",
    ):
        assert line in found.report
    assert found.asks("can_accept_sessions is false")
    assert found.asks("Which session type", "requests have chat, video", "else chat")
    assert found.asks("In which currency", "Taken: usd")
    assert found.asks("session_requests_feed", "Taken: private")
    assert len(found.questions) == 4

    bind(db, tmp_path, found.text)
    frank, mona = db.sql("select * from dispatch.mechanics order by display_name")
    assert (str(frank["id"]), str(frank["user_id"])) == (FRANKS, FRANK)
    assert (frank["is_approved"], mona["is_approved"]) == (True, False)
    assert (frank["is_online"], mona["is_online"]) == (True, False)
    assert (frank["city"], frank["brands"]) == ("Laval", [])
    assert frank["last_seen_at"].isoformat() == "2026-01-01T00:00:00+00:00"
    # What set_presence says besides is not lost, and hers counts only if theirs allows it.
    db.sql("insert into dispatch.presence values (%s, false, '2026-02-01Z')", FRANKS)
    frank = db.sql("select * from dispatch.mechanics order by display_name")[0]
    assert frank["is_online"] is False
    assert frank["last_seen_at"].isoformat() == "2026-02-01T00:00:00+00:00"

    plans = db.sql("select * from dispatch.plans order by code")
    assert [tuple(plan.values()) for plan in plans] == [
        ("quick10", "Quick", "chat", 999, "usd", True),
        ("video30", "Seeing is better", "video", 2999, "usd", True),
    ]
    (favorite,) = db.sql("select * from dispatch.favorites")
    assert (str(favorite["customer_id"]), str(favorite["mechanic_id"])) == (CARLA, FRANKS)
    assert favorite["favorited_at"].isoformat() == "2026-01-02T00:00:00+00:00"
    assert constants(db) == {
        "governs_all": False,
        "assigns_user_id": True,
        "approval_columns": ["application_status"],
        "feed_is_private": True,
        "taken_off": "false",
        "open_to": "true",
    }


def test_by_user(empty_db: Database, tmp_path: Path) -> None:
    """The user's id alone, minor units as bigint, favourites that point to auth.users."""
    db = empty_db
    make(db, "by_user")
    found = found_in(db)
    assert "id: by foreign key to auth.users (id); 2 of 2 values are users' ids" in found.report
    assert "code: by foreign key from session_requests.plan_code" in found.report
    assert "amount: by its name; bigint, taken as minor units" in found.report
    # Only what no database can say.
    assert len(found.questions) == 1
    assert found.asks("session_requests_feed")

    bind(db, tmp_path, found.text)
    frank, mona = db.sql("select * from dispatch.mechanics order by display_name")
    assert str(frank["id"]) == str(frank["user_id"]) == FRANK
    assert (frank["is_approved"], mona["is_approved"]) == (True, False)
    assert (frank["brands"], frank["city"], frank["country"]) == (["Audi", "BMW"], "Ulm", "de")
    plans = db.sql("select * from dispatch.plans order by code")
    assert [tuple(plan.values()) for plan in plans] == [
        ("c1", "Chat", "chat", 999, "eur", True),
        ("v1", "Visit", "visit", 2999, "eur", False),
    ]
    (favorite,) = db.sql("select customer_id::text, mechanic_id::text from dispatch.favorites")
    assert favorite == {"customer_id": CARLA, "mechanic_id": FRANK}
    assert constants(db)["assigns_user_id"] is True
    assert constants(db)["approval_columns"] == ["status"]


def test_it_asks_whether_a_booking_is_pending_at_once(empty_db: Database) -> None:
    """A window opens when its request is inserted; one that becomes pending later gets none."""
    make(empty_db, "by_user")
    assert not found_in(empty_db).asks("inserted as pending")
    for default in ("'on_the_way'", "lower('PENDING')"):
        empty_db.sql(f"alter table session_requests alter status set default {default}")
        assert found_in(empty_db).asks("inserted as pending", default.split("'")[1])
    empty_db.sql("alter table session_requests alter status drop default")
    assert not found_in(empty_db).asks("inserted as pending")


def test_enums(empty_db: Database, tmp_path: Path) -> None:
    """Enums with words of their own, a boolean approval, other tables' names, no currency."""
    db = empty_db
    make(db, "enums")
    found = found_in(db)
    assert "profile_id: by foreign key to auth.users (id); 2 of 2" in found.report
    assert "verified: by its name, a boolean" in found.report
    assert "public.favorite_mechanics: 1 rows looked at" in found.report
    assert "public.plans: 2 rows looked at" in found.report
    assert "public.booking_kind, knows chat, video, garage_visit" in found.report
    assert found.asks("In which currency", "Taken: usd")
    assert found.asks("Which session type")
    assert found.asks("Do clients embed", "mechanics!session_requests_mechanic_id_fkey(*)")
    assert len(found.questions) == 4

    bind(db, tmp_path, found.text)
    frank, mona = db.sql("select * from dispatch.mechanics order by display_name")
    assert (str(frank["id"]), str(frank["user_id"])) == (FRANKS, FRANK)
    assert (frank["display_name"], mona["display_name"]) == ("Frank Ferro", "Mona")
    assert (frank["is_approved"], mona["is_approved"]) == (True, False)
    assert (frank["brands"], mona["brands"]) == (["Audi"], None)
    # Only the engine knows who is there.
    assert (frank["is_online"], frank["last_seen_at"]) == (False, None)
    plans = db.sql("select * from dispatch.plans order by code")
    assert [tuple(plan.values()) for plan in plans] == [
        ("basic", "Basic", "chat", 999, "usd", True),
        ("big", "Garage-visit", "garage_visit", 9900, "usd", True),
    ]
    assert constants(db)["assigns_user_id"] is False
    assert constants(db)["approval_columns"] == ["verified"]


def test_grown(empty_db: Database, tmp_path: Path) -> None:
    """Domains are what they are made of; what was suspended, or taken back, is not bound."""
    db = empty_db
    make(db, "grown")
    found = found_in(db)
    for line in (
        "account: by foreign key to auth.users (id); 2 of 2 values are users' ids",
        "and none of these says otherwise: suspended_at",
        "price_cents: by its name; smallint, taken as minor units; its values are 999, 2999",
        "only where    f.unfavorited_at is null",
        "extensions.citext, knows accepted, cancelled, completed, expired, paused, pending",
        "also read     accepted_at, expires_at, plan_code",
    ):
        assert line in found.report
    assert found.asks("Is a mechanic approved where m.approved_at is not null")
    assert found.asks("until expires_at, which the table computes")
    assert found.asks("In which currency", "Taken: usd")
    assert len(found.questions) == 5
    bind(db, tmp_path, found.text)
    (frank,) = db.sql("select * from dispatch.mechanics where is_approved")
    assert (frank["display_name"], frank["brands"], frank["city"]) == ("Frank", ["Audi"], "Ulm")
    assert constants(db)["approval_columns"] == ["approved_at", "suspended_at"]


@pytest.mark.parametrize("with_rows", [True, False], ids=["rows", "empty"])
def test_camel_case(empty_db: Database, tmp_path: Path, with_rows: bool) -> None:
    """isApproved is is_approved; of favourites of several kinds only the mechanics are bound."""
    db = empty_db
    make(db, "camel_case", with_rows)
    found = found_in(db)
    for line in (
        "isApproved: by its name, a boolean",
        "and none of these says otherwise: deletedAt",
        "displayName: by its name",
        "carBrands: by its name, text[]",
        "public.request_state, knows pending, accepted, cancelled, expired, completed, noShow",
    ):
        assert line in found.report
    assert "as f\nwhere f.\"favoriteType\" = 'mechanic';" in found.text
    bind(db, tmp_path, found.text)
    if not with_rows:
        make_rows = (USERS + ROWS["camel_case"]).encode()
        db.owner.execute(make_rows)
    frank, mona = db.sql("select * from dispatch.mechanics order by display_name")
    assert (str(frank["user_id"]), frank["is_approved"], mona["is_approved"]) == (
        FRANK,
        True,
        False,
    )
    (favourite,) = db.sql("select customer_id, mechanic_id from dispatch.favorites")
    assert [str(each) for each in favourite.values()] == [CARLA, FRANKS]
    plan = db.sql("select * from dispatch.plans order by code")[0]
    assert tuple(plan.values()) == ("c1", "Chat", "chat", 999, "usd", True)
    db.sql('update mechanics set "deletedAt" = now()')
    assert db.value("select count(*) from dispatch.mechanics where is_approved") == 0


def test_tables_have_capitals_too(empty_db: Database, tmp_path: Path) -> None:
    db = empty_db
    make(db, "camel_case", True)
    db.sql('alter table customer_favorites rename to "customerFavorites"')
    db.sql('alter table service_plans rename to "ServicePlans"')
    found = found_in(db)
    bind(db, tmp_path, found.text)
    assert db.value("select count(*) from dispatch.favorites") == 1
    assert "c1" in [plan["code"] for plan in db.sql("select code from dispatch.plans")]


@pytest.mark.parametrize(
    ("column", "condition", "is_asked"),
    [
        ("deleted_at timestamp", "r.deleted_at is not null", False),
        ('"isDeleted" boolean', 'r."isDeleted" is true', False),
        ("archived_at timestamptz", "r.archived_at is not null", True),
        ("deleted boolean, add removed_at date", "r.deleted is true", False),
        ("blocked_at timestamptz", "false", False),
        ("deleted_at text", "false", False),
    ],
)
def test_a_request_is_taken_off_by_what_its_name_says(
    empty_db: Database, tmp_path: Path, column: str, condition: str, is_asked: bool
) -> None:
    make(empty_db, "garage")
    empty_db.sql(f"alter table session_requests add {column}")
    found = found_in(empty_db)
    assert (f"taken off     where {condition}: by its name" in found.report) is (
        condition != "false"
    )
    assert found.asks("take a request off") is is_asked
    bind(empty_db, tmp_path, found.text)
    assert constants(empty_db)["taken_off"] == condition


@pytest.mark.parametrize(
    ("policies", "condition"),
    [
        ("for select using (status = 'pending' and created_at > now() - interval '1 h')", None),
        ("for select using (customer_id = auth.uid() and customer_country is not null)", None),
        ("for select using (mechanic_id = (select auth.uid()) and customer_country = '')", None),
        (
            "for select using (customer_id = auth.uid() or plan_code = 'chat10')",
            "OR (plan_code = 'chat10'::text)",
        ),
        ("for select to postgres using (customer_country = 'DE')", None),
        ("for delete using (customer_country = 'DE')", None),
        ("for insert with check (customer_country = 'DE')", None),
        (
            "as restrictive for select using (status <> 'accepted' or mechanic_id = auth.uid())",
            None,
        ),
        ("as restrictive for update using (plan_code <> '$$')", "(plan_code <> '$$'::text)"),
        ("as restrictive for all using (plan_code is null)", "(plan_code IS NULL)"),
        ("for update using (auth.uid() = customer_id and customer_country is not null)", None),
        ("for update using ((select auth.uid()) = mechanic_id and is_urgent)", None),
        (
            "for select using (status = 'pending' and workshop_id in"
            " (select f.workshop_id from customer_favorites f where f.mechanic_id = auth.uid()))",
            "(f.mechanic_id = auth.uid())",
        ),
        ("for select using (not (customer_id = auth.uid()) and is_urgent)", "AND is_urgent)"),
        (
            "for select using (case when customer_id = auth.uid() then true else is_urgent end)",
            "CASE",
        ),
        ("for select using (knows(session_requests))", "public.knows(session_requests.*)"),
        # And what asks more of the caller than whether they are an approved mechanic.
        ("for select using (status = 'pending' and is_paying())", "public.is_paying()"),
        ("for select using (is_paying())", None),
        (
            "for select using (status = 'pending' and customer_id in"
            " (select f.customer_id from customer_favorites f))",
            "customer_favorites f",
        ),
        (
            "for select using (status = 'pending' and exists (select from mechanics m"
            " where m.user_id = auth.uid() and m.rating > 4))",
            "(m.rating > (4)::numeric)",
        ),
        (
            "for select using (status = 'pending' and exists (select from mechanics m"
            " where m.user_id = auth.uid() and m.application_status = 'approved'))",
            None,
        ),
        ("as restrictive for select using (auth.jwt() ->> 'aal' = 'aal2')", "'aal2'::text"),
        (
            "for select using (current_user = 'authenticated' and is_urgent)",
            "('authenticated'::name =",
        ),
        (
            "for select using (is_urgent and pg_has_role(current_user, 'pg_monitor', 'member'))",
            "pg_has_role('authenticated'::name, 'pg_monitor'",
        ),
        (
            "for select using (status = 'pending' and"
            " current_setting('request.jwt.claims', true)::jsonb ->> 'tier' = 'gold')",
            "'gold'::text",
        ),
        # pgTAP's is() is not asked by "is not null", nor Realtime's by a cast.
        ("for select using (status = 'pending' and is_known())", None),
        # Not the mechanics' own.
        ("for update using (status <> 'completed' and is_admin())", None),
        ("for update using (status = 'pending' and is_admin(mechanic_id))", None),
        ("for update using (status = 'accepted' and is_paying())", None),
        ("for update using (status = 'pending' and admin_area() = 'north')", "admin_area"),
        ("for update using (status in ('accepted', 'completed') and is_urgent)", None),
        (
            "for update using (status = 'pending' and exists (select from service_plans p"
            " where p.slug = plan_code and session_requests.customer_id = auth.uid()))",
            None,
        ),
        ("for update using (status = 'pending' and (is_admin() or is_urgent))", "is_urgent"),
    ],
)
def test_a_request_is_open_to_whom_policies_show_it(
    empty_db: Database, tmp_path: Path, policies: str, condition: str | None
) -> None:
    """What goes by its customer, its mechanic or its time chooses no mechanic."""
    make(empty_db, "garage")
    empty_db.sql(
        "create function knows(session_requests) returns boolean language sql as 'select true';"
        "create function is_paying() returns boolean language sql as"
        " 'select exists (select from SERVICE_PLANS)';"
        "create function is_admin(uuid default null) returns boolean language sql as"
        " 'select exists (select from service_plans)';"
        "create function admin_area() returns text language sql as"
        " 'select p.slug from service_plans as p';"
        "create schema elsewhere;"
        "create function elsewhere.cast(text) returns text language sql as 'select $1';"
        "create function is_known() returns boolean language plpgsql as 'begin return exists ("
        "select from mechanics where user_id = cast(auth.uid() as uuid) and user_id is not null);"
        " end'"
    )
    empty_db.sql(f"create policy its on session_requests {policies}")
    found = found_in(empty_db)
    assert found.asks("some mechanics alone: its") is (condition is not None)
    assert ("open to       some mechanics alone" in found.report) is (condition is not None)
    bind(empty_db, tmp_path, found.text, times=1)
    open_to = constants(empty_db)["open_to"]
    assert (condition in open_to) if condition else open_to == "true"
    empty_db.sql(f"select from session_requests where ({open_to}) is true")
    assert found.asks("is looked up past") is (condition is not None and " from " in policies)
    assert found.asks("only what the account says") is ("jwt" in open_to)


@pytest.mark.parametrize(
    "policies",
    [
        "for select using (customer_id = auth.uid())",
        "for select using (customer_id = auth.uid() or plan_code = 'chat10')",
    ],
)
def test_what_policies_read_to_show_a_request_is_told(empty_db: Database, policies: str) -> None:
    make(empty_db, "garage")
    empty_db.sql(f"create policy its on session_requests {policies}")
    empty_db.sql(
        "create policy looks on session_requests as restrictive for select using (plan_code in"
        " (select p.slug from service_plans as p))"
    )
    assert found_in(empty_db).asks("looks, which read", "public.service_plans is looked up past")
    empty_db.sql("alter table session_requests disable row level security")
    assert not found_in(empty_db).asks("some mechanics alone")


@pytest.mark.parametrize(
    ("policies", "condition"),
    [
        ("as restrictive using ((select auth.jwt() ->> 'aal') = 'aal2')", "'aal2'"),
        ("as restrictive using (plan_code <> 'x')", "(plan_code <> 'x'::text)"),
        ("for all using (status <> 'completed' and is_admin())", None),
    ],
)
def test_who_takes_requests_past_the_policies_is_not_kept_from_them(
    empty_db: Database, tmp_path: Path, policies: str, condition: str | None
) -> None:
    """Where by policies customers alone may write: they cancel, a server accepts."""
    make(empty_db, "garage")
    empty_db.sql(
        "drop policy mechanics_take_what_is_pending on session_requests;"
        "create policy customers_cancel on session_requests for update"
        " using (customer_id = auth.uid() and status = 'pending');"
        "create function is_admin() returns boolean language sql as"
        " 'select exists (select from service_plans)'"
    )
    empty_db.sql(f"create policy its on session_requests {policies}")
    found = found_in(empty_db)
    assert found.asks("some mechanics alone: its") is (condition is not None)
    bind(empty_db, tmp_path, found.text)
    open_to = constants(empty_db)["open_to"]
    if condition is None:
        assert open_to == "true"
    else:
        # As they are read, and no more.
        assert open_to.count(condition) == 1 and "get_authenticated_mechanic_id" in open_to


def test_times_without_a_zone_are_asked_where_the_database_has_another(
    empty_db: Database, tmp_path: Path
) -> None:
    """By now() they are not UTC's, as which they are read."""
    db = empty_db
    make(db, "grown", with_rows=False)
    db.sql("alter table session_requests add accepted_on timestamp")
    db.sql("alter table customer_favorites alter added_at type timestamp")
    times = "public.customer_favorites.added_at, public.session_requests.expires_at"
    for zone in "America/New_York", "Europe/London":
        assert found_in(db, timezone=zone).asks(f"Are the times in {times} UTC's?", zone)
    for zone in "UTC", "Africa/Abidjan":
        assert not found_in(db, timezone=zone).asks("UTC's?")
    db.sql("alter table customer_favorites alter added_at set default (now() at time zone 'utc')")
    assert found_in(db, timezone="Asia/Tokyo").asks("in public.session_requests.expires_at UTC")
    bind(db, tmp_path, found_in(db, timezone="Asia/Tokyo").text)


def test_a_name_that_a_profile_has_is_asked_and_not_taken(
    empty_db: Database, tmp_path: Path
) -> None:
    """Its policies may hide it from customers."""
    db = empty_db
    db.sql(
        'create table profiles (id uuid primary key references auth.users, "full_name" text);'
        "create table workshops (id uuid primary key, name text)"
    )
    make(db, "garage", with_rows=False)
    db.sql("alter table mechanics drop name cascade, add profile uuid references profiles")
    db.sql("alter table mechanics add workshop uuid references workshops")
    found = found_in(db)
    name = "(select p.full_name from public.profiles as p where p.id = m.profile)"
    assert found.asks("What is a mechanic called?", "if customers may see this to " + name)
    assert "null::text as display_name" in found.text
    bind(db, tmp_path, found.text.replace("null::text as display_name", f"{name} as display_name"))
    assert db.sql("select display_name from dispatch.mechanics for share") == []


def test_two_readings_are_asked(empty_db: Database, tmp_path: Path) -> None:
    db = empty_db
    make(db, "half_known", with_rows=False)
    found = found_in(db)
    assert found.asks("the user who signs in", "user_id or owner_id", "Taken: user_id.")
    assert found.asks("approved", "application_status or status", "Taken: application_status.")
    assert found.asks("reached now", "is_online or is_available")
    assert found.asks("session_requests.mechanic_id hold", "no value to tell", "of the user.")
    assert found.asks("customer_favorites.mechanic_id hold", "Taken: of mechanics.")
    assert found.asks("plan_code hold", "code or slug", "Taken: code.")
    assert found.asks("price in minor units", "Taken: minor units.")
    assert found.asks("no session type is known yet", "else chat.")
    assert found.asks("session_requests.customer_id the id of the user who books")
    assert not found.asks("created_by")
    assert "none of these says otherwise: deleted_at" in found.report
    bind(db, tmp_path, found.text)
    assert constants(db)["approval_columns"] == ["application_status", "deleted_at"]


def test_values_answer_what_the_shape_does_not(empty_db: Database, tmp_path: Path) -> None:
    db = empty_db
    make(db, "half_known")
    found = found_in(db)
    assert "code: 2 of the 2 plan_codes of session_requests are values of it" in found.report
    assert "mechanic_id: 1 of 1 values are mechanics' ids" in found.report
    assert "the mechanic's id, 1 of 1 values are mechanics' ids" in found.report
    for answered in ("mechanic_id hold", "plan_code hold", "customer_id"):
        assert not found.asks(answered)
    assert found.asks("price in minor units", "Taken: whole ones.")
    assert found.asks("the user who signs in", "user_id or owner_id")

    bind(db, tmp_path, found.text)
    assert constants(db)["assigns_user_id"] is False
    assert db.sql("select price_cents, session_type from dispatch.plans order by code") == [
        {"price_cents": 1000, "session_type": "chat"},
        {"price_cents": 3000, "session_type": "chat"},
    ]
    frank = "select is_approved, brands from dispatch.mechanics where is_online"
    assert db.sql(frank) == [{"is_approved": True, "brands": ["Audi", "BMW"]}]
    db.sql("update mechanics set deleted_at = now()")
    assert db.sql(frank) == [{"is_approved": False, "brands": ["Audi", "BMW"]}]


def test_favourites_by_the_users_id_are_looked_up(empty_db: Database, tmp_path: Path) -> None:
    """Without a foreign key; the values alone say whose ids they are."""
    db = empty_db
    make(db, "half_known")
    db.sql("update customer_favorites set mechanic_id = %s", FRANK)
    db.sql("update session_requests set mechanic_id = %s where mechanic_id is not null", FRANK)
    found = found_in(db)
    assert "mechanic_id: 1 of 1 values are users' ids" in found.report
    assert "inner join public.mechanics as m on m.user_id = f.mechanic_id" in found.text
    bind(db, tmp_path, found.text)
    assert db.value("select mechanic_id::text from dispatch.favorites") == FRANKS
    assert constants(db)["assigns_user_id"] is True


def test_a_user_by_way_of_another_table(empty_db: Database, tmp_path: Path) -> None:
    """As many Supabase projects have it: all point to profiles, and those to auth.users."""
    db = empty_db
    db.sql("create table profiles (id uuid primary key references auth.users (id))")
    to_profiles = {"references auth.users (id)": "references public.profiles (id)"}
    make(db, "garage", with_rows=False, changes=to_profiles)
    found = found_in(db)
    assert "user_id: by foreign key to public.profiles (id), a user's id" in found.report
    bind(db, tmp_path, found.text)


def test_the_reference_marketplace_has_the_reference_binding(
    empty_db: Database, tmp_path: Path
) -> None:
    db = empty_db
    install(db.dsn(), "sql/marketplace/up.sql")
    # Which has a rule of its own for who may take a request; no policy adds to it.
    db.sql("create policy brands on session_requests for select using (requested_brand = 'Audi')")
    found = found_in(db)
    assert found.questions == []
    bind(db, tmp_path, found.text)
    ours = dump(db, "-n", "dispatch"), constants(db)
    run_psql(db.dsn(), "-f", str(REFERENCE))
    assert (dump(db, "-n", "dispatch"), constants(db)) == ours
    assert ours[1]["governs_all"] is True


def test_a_stranger_is_left_alone(empty_db: Database) -> None:
    db = empty_db
    make(db, "stranger", with_rows=False)
    before = everything(db)
    status, text, errors = discover(db)
    assert (status, text) == (3, "")
    assert "nothing was written" in errors
    assert "public.mechanics is missing" in errors
    assert "public.session_requests is another table: it has id (uuid), " in errors
    assert "status (text: asked, held, booked, recorded)" in errors
    assert "a marketplace's has customer_id (uuid, of auth.users), mechanic_id" in errors
    assert "public.customer_favorites is another table" in errors
    assert not re.search(r"\b(add|alter|create|drop)\b", errors)
    assert everything(db) == before


def test_without_a_marketplace_it_says_what_to_run(empty_db: Database) -> None:
    status, text, errors = discover(empty_db)
    assert (status, text) == (3, "")
    assert "Who has none runs sql/marketplace/up.sql" in errors


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"'cancelled', 'expired', 'completed', 'unattended'": "'completed'"},
            "public.session_requests is not one that can be bound: it has .*needed is status"
            r" \(text or enum\) that knows pending, accepted, cancelled, expired, completed\.",
        ),
        (
            {"not null references auth.users (id)": "not null references public.mechanics (id)"},
            r"needed is customer_id \(uuid, of auth.users\)\.",
        ),
        (
            {
                "id uuid primary key default gen_random_uuid(),\n    user_id": "id uuid, user_id",
                "references public.mechanics (id) on delete cascade": "",
            },
            r"public.mechanics is not .* needed is an id \(uuid, its key\)\.",
        ),
        (
            {"user_id uuid unique references auth.users (id)": "user_id uuid references mechanics"},
            r"needed is the user who is the mechanic \(uuid, of auth.users\)\.",
        ),
        (
            {
                "mechanic_id uuid references auth.users (id) on delete set null": "mechanic_id"
                " uuid generated always as (parent_session_id) stored"
            },
            r"needed is mechanic_id that is written, not computed\.",
        ),
        (
            {"slug text not null unique,\n    name": "what", "price numeric": "rated numeric"},
            "public.service_plans is another table: .*; a marketplace's has a code or a slug, and",
        ),
    ],
)
def test_what_cannot_be_bound_is_refused(
    empty_db: Database, changes: dict[str, str], said: str
) -> None:
    make(empty_db, "garage", with_rows=False, changes=changes)
    status, text, errors = discover(empty_db)
    assert (status, text) == (3, "")
    assert re.search(said, errors)


def test_without_favourites_and_plans_it_binds_no_rows(empty_db: Database, tmp_path: Path) -> None:
    db = empty_db
    others = {"public.customer_favorites": "public.likes", "public.service_plans": "public.tiers"}
    make(db, "garage", with_rows=False, changes=others)
    found = found_in(db)
    assert found.asks("Where are the customers' favourites?")
    assert found.asks("Where are the plans that are sold?")
    bind(db, tmp_path, found.text)
    assert (
        db.sql("select * from dispatch.favorites") == db.sql("select * from dispatch.plans") == []
    )


def test_two_tables_of_favourites_are_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "enums")
    db.sql("create table favourites (like favorite_mechanics including all)")
    db.sql(
        "alter table favourites add foreign key (customer_id) references auth.users (id),"
        " add foreign key (mechanic_id) references mechanics (id)"
    )
    db.sql("create table favorite_songs (customer_id uuid references auth.users (id), song text)")
    found = found_in(db)
    assert found.asks("public.favorite_mechanics or public.favourites")
    assert not found.asks("favorite_songs")


def test_no_name_leaves_its_place(empty_db: Database, tmp_path: Path) -> None:
    """A name with a line's end in it stays in its comment, and in its quotes."""
    db = empty_db
    make(db, "garage", with_rows=False)
    db.sql("""alter table mechanics rename brand_specializations to "brands
    select 1 / 0; -- "" ' $$ x" """)
    found = found_in(db)
    assert "brands     select 1 / 0;" in found.report
    bind(db, tmp_path, found.text)
    assert db.sql("select brands from dispatch.mechanics") == []


def test_the_words_of_a_status_may_have_capitals(empty_db: Database, tmp_path: Path) -> None:
    db = empty_db
    make(db, "garage", with_rows=False)
    db.sql("alter table mechanics drop constraint mechanics_application_status_check")
    assert found_in(db).asks("Is a mechanic approved where m.application_status = 'approved'")
    db.sql("insert into mechanics (application_status) values ('APPROVED'), ('NEW')")
    found = found_in(db)
    assert "application_status: its values are APPROVED, NEW" in found.report
    bind(db, tmp_path, found.text)
    assert db.value("select count(*) from dispatch.mechanics where is_approved") == 1


def test_a_policy_hints_at_a_private_feed(empty_db: Database) -> None:
    db = empty_db
    make(db, "garage", with_rows=False)
    db.sql(
        "create policy mechanics_listen on realtime.messages for select to authenticated"
        " using (realtime.topic() = 'session_requests_feed')"
    )
    assert found_in(db).asks("The policy mechanics_listen on realtime.messages hints that they do")


def test_rows_that_may_not_be_read_are_no_evidence(empty_db: Database) -> None:
    """The catalogue says enough; where it does not, it is asked."""
    db = empty_db
    make(db, "half_known")
    db.sql("grant usage on schema auth to anon")
    found = discover(db, "authenticator")
    assert (found.status, found.errors) == (0, "")
    assert "public.mechanics: its rows may not be read" in found.report
    assert found.asks("session_requests.mechanic_id hold", "no value to tell")


CHECKED = """check (
        status in ('pending', 'accepted', 'cancelled', 'expired', 'completed', 'unattended')
    )"""


def test_the_words_of_a_status_may_stand_in_a_table(empty_db: Database) -> None:
    """To which its foreign key leads."""
    db = empty_db
    db.sql("create table states (word text primary key)")
    db.sql(
        "insert into states values"
        " ('pending'), ('accepted'), ('cancelled'), ('expired'), ('completed'), ('lost')"
    )
    make(db, "garage", with_rows=False, changes={CHECKED: "references public.states (word)"})
    known = "text, knows accepted, cancelled, completed, expired, lost, pending"
    assert f"status        {known}" in found_in(db).report
    db.sql("delete from states where word = 'expired'")
    assert "status (text: accepted, cancelled, completed, lost, pending)" in discover(db).errors


@pytest.mark.parametrize("with_rows", [True, False], ids=["rows", "empty"])
@pytest.mark.parametrize("word", ["PENDING", "open"])
def test_what_is_pending_by_another_word_cannot_be_bound(
    empty_db: Database, word: str, with_rows: bool
) -> None:
    """Nothing could ever be accepted, though 'completed' may be among its words."""
    db = empty_db
    make(db, "garage", changes={CHECKED: ""})
    db.sql("delete from session_requests")
    db.sql(f"alter table session_requests alter status set default '{word}'")
    if with_rows:
        db.sql(
            f"insert into session_requests (customer_id, session_type, status)"
            f" values ('{CARLA}', 'chat', '{word}'), ('{CARLA}', 'chat', 'completed')"
        )
    status, text, errors = discover(db)
    assert (status, text) == (3, "")
    assert f"cancelled, expired, completed (a request begins as '{word}')." in errors
    db.sql(
        f"insert into session_requests (customer_id, session_type, status)"
        f" values ('{CARLA}', 'chat', 'pending')"
    )
    assert found_in(db).asks("inserted as pending", word)


SOFT = {
    "is_active boolean not null default true": "is_active = false",
    "status text not null default 'active' check (status in ('active', 'removed'))": (
        "status = 'removed'"
    ),
    "unfavorited_at timestamptz": "unfavorited_at = now()",
    "is_deleted boolean": "is_deleted = true",
}


@pytest.mark.parametrize("column", SOFT, ids=["active", "status", "time", "deleted"])
def test_a_favourite_that_was_taken_back_is_none(
    empty_db: Database, tmp_path: Path, column: str
) -> None:
    db = empty_db
    make(db, "garage")
    db.sql(f"alter table customer_favorites add {column}")
    found = found_in(db)
    assert f"only where    f.mechanic_id is not null and f.{column.split()[0]} " in found.report
    bind(db, tmp_path, found.text)
    assert db.value("select count(*) from dispatch.favorites") == 1
    db.sql(f"update customer_favorites set {SOFT[column]}")
    assert db.value("select count(*) from dispatch.favorites") == 0


def test_what_plan_code_holds_are_the_plans(empty_db: Database, tmp_path: Path) -> None:
    """Though another table has their prices, and looks like one of plans."""
    db = empty_db
    prices = (
        "create table public.plans (slug text primary key, name text);"
        " create table public.plan_prices (id uuid primary key, plan text references public.plans,"
        " currency text, amount integer);"
        " create table public.session_requests ("
    )
    make(
        db,
        "garage",
        with_rows=False,
        changes={
            "create table public.session_requests (": prices,
            "public.service_plans": "public.tiers",
            "plan_code text": "plan_code text references public.plans (slug)",
        },
    )
    found = found_in(db)
    assert "code          slug: by foreign key from session_requests.plan_code" in found.report
    assert found.asks("What does a plan cost?", "public.plan_prices may")
    bind(db, tmp_path, found.text)
    db.sql("alter table session_requests drop constraint session_requests_plan_code_fkey")
    # Now only the shape of one says so, and it is asked.
    assert found_in(db).asks("Are the plans that are sold in public.plan_prices?")


def test_what_a_key_points_to_may_have_any_name_in_any_schema(
    empty_db: Database, tmp_path: Path
) -> None:
    db = empty_db
    make(db, "grown")
    db.sql(
        "create schema billing; create schema people;"
        " alter table service_plans rename to tiers; alter table tiers set schema billing;"
        " alter table customer_favorites set schema people;"
        # These are nobody's of the marketplace.
        " create table billing.products (id text primary key, code text, price integer);"
        " create table people.favourite_colours (customer_id uuid references auth.users (id))"
    )
    found = found_in(db)
    assert "code: by foreign key from session_requests.plan_code" in found.report
    assert "from billing.tiers as p" in found.text
    assert "from people.customer_favorites as f" in found.text
    bind(db, tmp_path, found.text)
    assert db.value("select count(*) from dispatch.plans") == 2
    assert db.value("select count(*) from dispatch.favorites")


def test_a_price_in_whole_units_of_any_currency(empty_db: Database, tmp_path: Path) -> None:
    """In what Stripe counts: yen have no hundredths, dinars have thousandths."""
    db = empty_db
    make(
        db,
        "garage",
        with_rows=False,
        changes={
            # In Turkish the small letter of I is another than Stripe's.
            "display_order integer": 'price_currency char(3) collate "tr-TR-x-icu",'
            " display_order integer"
        },
    )
    assert not found_in(db).asks("In which currency")
    bind(db, tmp_path, found_in(db).text)
    prices = {
        "JPY": "1200",
        "BIF": "3000",
        "krw": "9000.00",
        "KWD": "1.5",
        "USD": "9.99",
        "isk": "700",
    }
    # Too high for an integer, nobody knows it; it is no error for whoever reads another's.
    prices |= {"idr": "25000000", "mxn": "NaN"}
    for currency, price in prices.items():
        db.sql(
            "insert into service_plans (slug, name, price, duration_minutes, description,"
            " price_currency) values (%s, '', %s, 1, '', %s)",
            currency,
            price,
            currency,
        )
    plans = db.sql("select * from dispatch.plans")
    assert {row["currency"] for row in plans} == {each.lower() for each in prices}
    costs = {row["code"]: row["price_cents"] for row in plans}
    assert costs == {"JPY": 1200, "BIF": 3000, "krw": 9000, "KWD": 1500} | {
        "USD": 999,
        "isk": 70000,
        "idr": None,
        "mxn": None,
    }


@pytest.mark.parametrize("kind", ["numeric(10, 2)", "integer", "money"])
def test_who_may_book_what_costs_nothing_is_asked(empty_db: Database, kind: str) -> None:
    make(empty_db, "garage")
    empty_db.sql(f"alter table service_plans alter price type {kind} using price::numeric")
    words = ("costs nothing", "public.service_plans.price", "request_free_session()")
    assert not found_in(empty_db).asks(*words)
    empty_db.sql("update service_plans set price = 0::numeric where slug = 'quick10'")
    assert found_in(empty_db).asks(*words)


def test_a_price_for_each_currency_is_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "by_user")
    db.sql("alter table session_requests drop constraint session_requests_plan_code_fkey")
    db.sql("alter table service_plans drop constraint service_plans_pkey")
    assert not found_in(db).asks("Has each plan one row?")
    db.sql("alter table service_plans add primary key (code, currency)")
    db.sql("insert into service_plans values ('c1', 'Chat', 'chat', 899, 'USD')")
    assert found_in(db).asks("Has each plan one row? public.service_plans.code has no unique key")


def test_a_user_who_is_two_mechanics_is_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "garage", changes={"user_id uuid unique": "user_id uuid"})
    assert not found_in(db).asks("Is each user one mechanic?")
    db.sql(f"insert into mechanics (user_id, name) values ('{FRANK}', 'The other shop')")
    assert found_in(db).asks("Is each user one mechanic?", "1 have a user_id that another has")


def test_an_approval_of_something_else_is_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "garage")
    assert not found_in(db).asks("Is a mechanic approved where")
    db.sql("alter table mechanics rename application_status to background_check_status")
    assert found_in(db).asks("approved where m.background_check_status = 'approved'", "Taken: yes")


def test_tables_beside_mechanics_are_named(empty_db: Database) -> None:
    db = empty_db
    make(db, "enums", with_rows=False)
    assert not found_in(db).asks("Who can be reached now?")
    db.sql("create table mechanic_presence (mechanic_id uuid references mechanics, online boolean)")
    db.sql("alter table mechanics drop brands")
    db.sql("create table brands_of (mechanic_id uuid references mechanics, brand text)")
    found = found_in(db)
    assert found.asks("Who can be reached now?", "public.mechanic_presence may")
    assert found.asks("Which brands does a mechanic know?", "public.brands_of may")


def test_a_column_of_ours_that_was_there_first_is_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "camel_case")
    asked = "Does session_requests.preferred_mechanic_id, which is there already"
    assert found_in(db).asks(asked, "a foreign key to public.mechanics (id)")
    db.sql(
        "alter table session_requests drop constraint session_requests_preferred_mechanic_id_fkey"
    )
    db.sql(f"update session_requests set preferred_mechanic_id = '{FRANK}'")
    assert found_in(db).asks(asked, "no foreign key; 0 of 1 values are mechanics' ids")
    db.sql("alter table session_requests drop preferred_mechanic_id")
    install_on_theirs(db.dsn())
    assert not found_in(db).asks(asked)


def test_what_a_booking_cannot_fill_or_move_is_asked(empty_db: Database) -> None:
    db = empty_db
    make(db, "enums", with_rows=False)
    assert not found_in(db).asks("What does a booking by Stripe's event")
    db.sql(
        "alter table session_requests add vehicle text not null, add seen int not null default 0"
    )
    assert found_in(db).asks("What does a booking by Stripe's event", "write in vehicle of")
    assert not found_in(db).asks("expires_at")
    db.sql(
        "alter table session_requests add expires_at timestamp"
        " generated always as (created_at + interval '20 minutes') stored"
    )
    assert found_in(db).asks("until expires_at, which the table computes")
    db.sql("alter table session_requests alter expires_at drop expression")
    db.sql(
        "alter table session_requests add constraint is_short"
        " check (expires_at < created_at + interval '1 hour')"
    )
    assert found_in(db).asks("Does the CHECK is_short allow a request to live longer")


def test_what_the_columns_change_by_themselves_is_asked(empty_db: Database) -> None:
    """Two foreign keys between two tables, and columns that a subscriber has no room for."""
    db = empty_db
    make(db, "enums", with_rows=False)
    superuser = db.superuser()
    superuser.execute("create publication whole for table session_requests")
    superuser.execute("create publication listed for table session_requests (id, status)")
    superuser.execute("create publication supabase_realtime_messages for table session_requests")
    assert found_in(db).asks("Have the subscribers of the publication whole room for three more")
    assert found_in(db).asks("Do clients embed mechanics")
    install_on_theirs(db.dsn())
    assert not found_in(db).asks("Have the subscribers")
    assert not found_in(db).asks("Do clients embed")


OLD = "(like session_requests)"
COUNTED = {
    "void": [
        "insert into old select * from session_requests where status <> 'pending'",
        "insert into public.old select r.* from only public.session_requests as r where true",
        "with gone as (delete from session_requests where status = 'expired' returning *)"
        " INSERT INTO old SELECT * FROM gone",
        'insert into "old" select * from "public"."session_requests"',
        'insert into old select "r".* from "session_requests" "r"',
        "insert into old select /* all */ * -- of them\n from session_requests",
        "/* each night */ insert into old select * from session_requests /* all of them */",
        "insert into old table session_requests",
        "insert into old select session_requests.* from session_requests",
        "insert into old select r.* from old as o right join session_requests r on r.id = o.id",
        "insert into dated select now(), r.* from session_requests as r",
        "insert into old select distinct r.* from old o, session_requests r where o.id = r.id",
        "with r as (select * from session_requests) insert into old select * from r",
        "insert into old with r as (select * from session_requests) select r.* from r",
    ],
    "setof old": [
        "select * from session_requests",
        "select r.* from session_requests as r cross join (values (1)) as v",
        "select * from old union all select * from public.session_requests",
        "select * from session_requests union all (select * from old)",
        "table old union all table session_requests",
    ],
    "session_requests": ["select {columns} from session_requests limit 1"],
    "setof session_requests": ["update session_requests set id = id returning {columns}"],
    "table ({types})": ["select * from session_requests"],
}
UNCOUNTED = {
    "void": [
        "insert into old (id, status) select id, status from session_requests",
        "insert into old (id) select o.id from session_requests as r cross join old as o",
        "insert into old select o.* from old as o where exists (select from session_requests)",
        "insert into old select o.* from old as o where exists (select * from session_requests)",
        "insert into old select o.* from old as o join session_requests as r on r.id = o.id",
        "insert into old (id) select id -- not select * from session_requests;\n"
        " from session_requests",
        "/* insert into old select *\n from session_requests; */ delete from session_requests",
        "insert into old (id) select id from session_requests where 2 * 3 = 6",
        "insert into said select 1, jsonb_build_object('it', r.*) from session_requests as r",
        "with r as (select * from session_requests) insert into old (id) select r.id from r",
    ],
    "setof old": [
        "select {columns} from session_requests",
        "select o.* from old as o where id in (select id from session_requests)",
    ],
    "setof session_requests": [
        "select * from session_requests",
        "select r.* from session_requests as r where status = 'pending'",
        "update session_requests set id = id returning *",
    ],
    "bigint": ["select count(*) from session_requests"],
    "table (id uuid)": [
        "select r.id from (values (1)) as v cross join session_requests as r where 2 * 3 = 6",
    ],
}


@pytest.mark.parametrize("language", ["sql", "plpgsql"])
@pytest.mark.parametrize("fails", [True, False], ids=["counted", "not"])
def test_what_counts_the_columns_is_asked(empty_db: Database, fails: bool, language: str) -> None:
    """Each of these functions works before the install; who is asked of does not after it."""
    db = empty_db
    make(db, "enums", with_rows=False)
    db.sql(f"create table old {OLD}; create table dated (at timestamptz, {OLD[1:]}")
    db.sql("create table said (number integer, data jsonb)")
    (shape,) = db.sql(
        "select string_agg(attname, ', ' order by attnum) as columns, string_agg(attname || ' ' ||"
        " format_type(atttypid, atttypmod), ', ' order by attnum) as types from pg_attribute"
        " where attrelid = 'session_requests'::regclass and attnum > 0"
    )
    made: dict[str, str] = {}
    for returns, bodies in (COUNTED if fails else UNCOUNTED).items():
        for body in bodies:
            name, text = f"f{len(made)}", body.format(**shape)
            if language == "plpgsql":
                if returns == "void":
                    text = f"begin {text}; end"
                elif "table" in returns or "setof" in returns:
                    text = f"#variable_conflict use_column\nbegin return query {text}; end"
                else:
                    continue
            db.sql(
                f"create function {name}() returns {returns.format(**shape)} language {language}"
                f" as $$ {text} $$"
            )
            db.sql(f"select * from {name}()")
            made[name] = body
    assert len(made) > 5
    found = found_in(db)
    asked = {name for name in made if found.asks("three more columns", f"public.{name}()")}
    assert {made[name] for name in asked} == (set(made.values()) if fails else set())
    install_on_theirs(db.dsn())
    for name in made:
        with pytest.raises(psycopg.Error) if fails else nullcontext():
            db.sql(f"select * from {name}()")
    assert not found_in(db).asks("three more columns")


def test_a_loop_and_a_job_that_insert_whole_rows_are_asked() -> None:
    archive = (
        "create function archive() returns void language plpgsql as $$ declare v_row record;"
        " begin for v_row in select * from session_requests loop"
        " insert into old values (v_row.*); end loop; end $$"
    )
    with Cluster() as cluster, Database(cluster, "postgres") as db:
        make(db, "enums", with_rows=False)
        db.sql(f"create table old {OLD}")
        db.sql("select cron.schedule('nightly', '0 3 * * *', 'delete from session_requests')")
        assert not found_in(db).asks("three more columns")
        db.sql(archive)
        db.sql(
            "select cron.schedule('nightly', '0 3 * * *',"
            " 'insert into old select * from session_requests')"
        )
        told = "columns: the function public.archive(), the cron job nightly?"
        assert found_in(db).asks(told)
        install_on_theirs(db.dsn())
        assert not found_in(db).asks("three more columns")


def test_a_function_of_a_row_that_inserts_it_is_asked(empty_db: Database) -> None:
    """As a trigger of theirs may call it."""
    db = empty_db
    make(db, "enums")
    db.sql(f"""
        create table old {OLD};
        create function keep(gone session_requests) returns void language plpgsql
        as 'begin insert into old select gone.*; end';
        create function first(session_requests) returns void language sql
        as 'insert into old values ($1.*)';
        create function note(gone session_requests) returns void language sql
        as 'delete from old where id = gone.id'
    """)
    told = "columns: the function public.keep(public.session_requests), the function public.first("
    assert found_in(db).asks(told) and not found_in(db).asks("public.note(")
    install_on_theirs(db.dsn())
    for name, fails in (("keep", True), ("first", True), ("note", False)):
        with pytest.raises(psycopg.Error) if fails else nullcontext():
            db.sql(f"select {name}(r) from session_requests as r")


def test_what_passes_by_every_policy_is_asked(empty_db: Database) -> None:
    """A view and a function with their owner's rights, and a trigger that tells of what is new."""
    db = empty_db
    make(db, "by_user", with_rows=False)
    db.sql(
        "create view mine with (security_invoker = on) as select * from session_requests;"
        " create view open_ones as select id from session_requests where status = 'pending';"
        " create view hidden as select id from session_requests;"
        " grant select on mine, open_ones to authenticated;"
        " create function nearby() returns setof uuid language sql security definer"
        " as $$ select id from public.session_requests where status = 'pending' $$;"
        " create function touch() returns trigger language plpgsql as $$ begin return new; end $$;"
        " create trigger audit after insert on session_requests for each row"
        " execute function touch();"
    )
    assert found_in(db).asks("Whom do these show", ": public.nearby(), public.open_ones?")
    assert not found_in(db).asks("Whom do these triggers tell")
    db.sql(
        "create function tell() returns trigger language plpgsql"
        " as $$ begin perform pg_notify('mechanics', new.id::text); return null; end $$;"
        " create trigger tell after insert on session_requests for each row"
        " execute function tell()"
    )
    assert found_in(db).asks("Whom do these triggers tell of a new request: tell?")
