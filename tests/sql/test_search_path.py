"""Names that shadow ours: an attacker with SQL of their own makes types, tables, functions and
operators of the same names, and then calls what runs as its owner. Or a marketplace has such in
`public`, for itself."""

import re
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

from stack import ROOT
from stack.install import (
    DOWN,
    ENGINE,
    ENGINE_DOWN,
    FEATURE,
    MARKETPLACE,
    MARKETPLACE_DOWN,
    discover,
    install,
    install_hub_role,
    install_on_theirs,
    install_push_role,
    install_webhook_role,
)
from tests.database import Connection, Database, become, checkout, dump, refund, rows, rpc
from tests.further import further_but

ATTACKERS = ["webhook_app", "authenticated"]
# Whoever evaluates a trap is told.
SPRING = """
    create function {schema}.spring(anyelement) returns boolean language plpgsql
    as $$ begin raise notice 'sprung as %', current_user; return true; end $$
"""
# Types and relations are looked up in pg_temp first, unless the search_path says otherwise. What a
# view calls runs as whoever reads it.
SHADOWS = """
    select format(
        'create domain pg_temp.%1$I as pg_catalog.%1$I check (pg_temp.spring(value))', typname
    ) as trap
    from pg_catalog.pg_type
    where typnamespace = 'pg_catalog'::regnamespace and typtype = 'b' and typcategory <> 'A'
    union all
    select format(
        'create view pg_temp.%1$I as select t.* from %2$I.%1$I as t where pg_temp.spring(1)',
        relname, relnamespace::regnamespace
    )
    from pg_catalog.pg_class
    where
        relkind in ('r', 'v') and has_table_privilege(oid, 'select')
        and relnamespace::regnamespace::text in ('pg_catalog', 'public')
"""
# The rest is looked up in a schema of the attacker's, if the path has it first.
LOOKALIKES = """
    create schema attacker;
    create function attacker.now() returns timestamptz language plpgsql
    as $$ begin perform attacker.spring(1); return pg_catalog.now(); end $$;
    create function attacker.pg_notify(text, text) returns void language plpgsql
    as $$ begin perform attacker.spring(1); end $$;
    create function attacker.length(text) returns integer language plpgsql
    as $$ begin perform attacker.spring(1); return 1; end $$;
    create function attacker.same(uuid, uuid) returns boolean language plpgsql
    as $$ begin return attacker.spring(1); end $$;
    create operator attacker.= (leftarg = uuid, rightarg = uuid, function = attacker.same);
    create function attacker.field(jsonb, text) returns text language plpgsql
    as $$ begin perform attacker.spring(1); return $1 operator(pg_catalog.->>) $2; end $$;
    create operator attacker.->> (leftarg = jsonb, rightarg = text, function = attacker.field);
    grant usage on schema attacker to public;
"""
# As an unwary author would write it.
CARELESS = """
    create function public.careless(given text) returns text language plpgsql security definer
    set search_path = '' as $$ declare v_given text := given; begin return v_given; end $$;
    create function public.more_careless() returns timestamptz language plpgsql security definer
    as $$ begin return now(); end $$;
"""
Arm = Callable[[Connection], None]


def shadow(connection: Connection) -> None:
    connection.execute(SPRING.format(schema="pg_temp").encode())
    for row in rows(connection, SHADOWS):
        with suppress(psycopg.errors.InvalidTableDefinition):  # a column of a pseudo-type
            connection.execute(row["trap"].encode())


def put_first(connection: Connection) -> None:
    connection.execute("set search_path = attacker, pg_catalog, public")


arms = pytest.mark.parametrize("arm", [shadow, put_first])


@pytest.fixture
def victim(db: Database) -> Database:
    owner = db.superuser()
    owner.execute(LOOKALIKES.encode())
    owner.execute(SPRING.format(schema="attacker").encode())
    db.sql(CARELESS)
    return db


@pytest.fixture
def sprung() -> set[str]:
    """As whom the traps were sprung."""
    return set()


def attack(db: Database, arm: Arm, sprung: set[str], role: str, user: str = "") -> Connection:
    """A session of the attacker's, the traps set before anything of ours is called."""
    connection = db.open("webhook_app" if role == "webhook_app" else "authenticator")
    connection.add_notice_handler(
        lambda notice: sprung.add((notice.message_primary or "").removeprefix("sprung as "))
    )
    if role != "webhook_app":
        become(connection, user, role)
    arm(connection)
    return connection


@arms
@pytest.mark.parametrize("role", ATTACKERS)
def test_the_traps_work(victim: Database, arm: Arm, sprung: set[str], role: str) -> None:
    connection = attack(victim, arm, sprung, role)
    rows(connection, "select public.careless('x'), public.more_careless()")
    assert "postgres" in sprung


@arms
def test_the_webhooks_role(victim: Database, arm: Arm, sprung: set[str]) -> None:
    connection = attack(victim, arm, sprung, "webhook_app")
    customer, mechanic = victim.make_customer(), victim.make_mechanic()
    paid = checkout(customer, mechanic, payment="pi_1", skip_if_offline="true")
    events = [
        paid,
        paid,
        refund("pi_1"),
        checkout(customer, plan="gold"),
        checkout(None),
        checkout("no uuid", reference=customer),
        checkout(customer, mechanic, priority_window_minutes="ninety"),
        checkout(customer, kind="checkout.session.expired"),
    ]
    for event in events:
        rpc(connection, "process_stripe_event", event=event)
    with pytest.raises(psycopg.Error):
        rpc(connection, "process_stripe_event", event={})
    assert victim.value("select count(*) from session_requests") == 3
    assert sprung <= {"webhook_app"}


@pytest.mark.parametrize("role", ATTACKERS)
def test_what_a_session_defers_is_run_as_nobody_else(
    victim: Database, sprung: set[str], role: str
) -> None:
    """A trigger on a table of its own that waits for the commit, while ours asks what waits."""
    customer, mechanic = victim.make_customer(), victim.make_mechanic()
    accepted, declined, _ = (victim.make_request(customer, mechanic) for _ in range(3))
    connection = attack(victim, shadow, sprung, role, mechanic)
    connection.execute(
        "create temporary table mine ();"
        "create function pg_temp.mine() returns trigger language plpgsql"
        " as $$ begin perform pg_temp.spring(1); return null; end $$;"
        "create constraint trigger mine after insert on mine deferrable initially deferred"
        " for each row execute function pg_temp.mine()"
    )
    paid = checkout(customer, mechanic, payment="pi_1")
    calls: list[tuple[str, dict[str, object]]] = [
        ("process_stripe_event", {"event": paid}),
        ("process_stripe_event", {"event": refund("pi_1")}),
    ]
    if role == "authenticated":
        calls = [
            ("set_presence", {"status": "online"}),
            ("accept_session_request", {"request_id": accepted}),
            ("complete_session_request", {"request_id": accepted}),
            ("decline_session_request", {"request_id": declined}),
            ("block_customer", {"request_id": accepted}),
        ]
    for function, arguments in calls:
        with connection.transaction():
            connection.execute("insert into mine default values")
            rpc(connection, function, **arguments)
            assert sprung == set()
        assert sprung == {role}
        sprung.clear()


@arms
def test_signed_in_with_sql_of_their_own(victim: Database, arm: Arm, sprung: set[str]) -> None:
    customer, mechanic = victim.make_customer(), victim.make_mechanic()
    as_customer = attack(victim, arm, sprung, "authenticated", customer)
    as_mechanic = attack(victim, arm, sprung, "authenticated", mechanic)

    def book() -> str:
        wish = {"preferred_mechanic_id": mechanic, "routing_type": "priority_broadcast"}
        plan = "free-diagnostic"
        rpc(as_customer, "prepare_checkout", plan_code=plan, **wish)
        return str(rpc(as_customer, "request_free_session", plan_code=plan, **wish)["id"])

    accepted, declined, opened, cancelled, released, reopened = (book() for _ in range(6))
    rpc(as_mechanic, "set_presence", status="online")
    assert len(rpc(as_mechanic, "list_open_session_requests")) == 6
    rpc(as_mechanic, "accept_session_request", request_id=accepted)
    rpc(as_mechanic, "complete_session_request", request_id=accepted)
    rpc(as_mechanic, "decline_session_request", request_id=declined, reason="no")
    for request in (released, reopened):
        rpc(as_mechanic, "accept_session_request", request_id=request)
    victim.sql("update session_requests set accepted_at = accepted_at - interval '10 minutes'")
    rpc(as_mechanic, "release_session_request", request_id=released, reason="no")
    rpc(as_customer, "reopen_session_request", request_id=reopened)
    rpc(as_customer, "broadcast_session_request_now", request_id=opened)
    rpc(as_customer, "cancel_session_request", request_id=cancelled)
    rpc(as_customer, "get_session_request_timeline", request_id=accepted)
    rows(as_customer, "select public.list_session_request_mechanics(%s)", accepted)
    rpc(as_customer, "get_mechanic_status", mechanic_id=mechanic)
    rpc(as_customer, "list_favorite_mechanics")
    for connection in (as_customer, as_mechanic):
        assert rpc(connection, "list_session_request_events")
        assert rows(connection, "select id from public.session_requests")
        rows(connection, "select dispatch.may_use_topic('join', 'session_requests_feed', 'x')")
    assert sprung <= {"authenticated"}


# pg_catalog comes first. But of two that fit, the one is called whose arguments fit better: so of
# what takes any type (format, count, unnest) or takes a name for a text.
THEIR_OWN = """
do $$
declare
    v_name text;
    v_first text;
    v_second text;
begin
    foreach v_name in array {names} loop
        continue when not exists (
            select from pg_proc
            where proname = v_name and pronamespace = 'pg_catalog'::regnamespace
        );
        foreach v_first in array {types} loop
            execute format(
                'create function public.%I(%s) returns text language plpgsql'
                ' as $f$ begin raise exception ''their %s''; end $f$',
                v_name, v_first, v_name
            );
            foreach v_second in array array['text', 'integer', 'text[]'] loop
                execute format(
                    'create function public.%I(%s, %s) returns text language plpgsql'
                    ' as $f$ begin raise exception ''their %s''; end $f$',
                    v_name, v_first, v_second, v_name
                );
            end loop;
        end loop;
        for n in 3..6 loop
            execute format(
                'create function public.%I(%s) returns text language plpgsql'
                ' as $f$ begin raise exception ''their %s''; end $f$',
                v_name, (select string_agg('text', ', ') from generate_series(1, n)), v_name
            );
        end loop;
    end loop;
    -- And of the types that a marketplace compares.
    foreach v_first in array array['text', 'varchar', 'uuid', 'integer', 'boolean'] loop
        foreach v_second in array array['text', 'varchar', 'uuid', 'integer', 'boolean'] loop
            continue when v_second = v_first;
            execute format(
                'create function public.theirs(%s, %s) returns boolean language plpgsql'
                ' as $f$ begin raise exception ''their operator''; end $f$',
                v_first, v_second
            );
            foreach v_name in array array['=', '<>', '<', '||', '~'] loop
                execute format(
                    'create operator public.%s'
                    ' (leftarg = %s, rightarg = %s, function = public.theirs)',
                    v_name, v_first, v_second
                );
            end loop;
        end loop;
    end loop;
    create domain public.text as pg_catalog.text check (false);
    create table public.pg_class (oid integer);
    create table public.pg_proc (oid integer);
    create table public.pg_trigger (oid integer);
end
$$
"""
TYPES = (
    "text", "name", "oid", "regclass", "regtype", "integer", "uuid", "timestamptz", "jsonb",
    "text[]", "uuid[]",
)  # fmt: skip


@pytest.mark.parametrize("marketplace", further_but(["enums"], ["ours", "enums", "garage"]))
def test_public_may_have_functions_of_any_name(empty_db: Database, marketplace: str) -> None:
    """It is installed, verified, used and taken off, and calls none of them."""
    db = empty_db
    if marketplace != "ours":
        db.sql((ROOT / f"examples/marketplaces/{marketplace}/schema.sql").read_text())
    called = {
        name
        for folder in ("sql", "functions")
        for path in (ROOT / folder).rglob("*.sql")
        for name in re.findall(r"\b([a-z_]+)\(", path.read_text())
    }
    db.sql("set search_path = pg_catalog, pg_temp")
    db.sql(THEIR_OWN.format(names=f"array{sorted(called)}", types=f"array{list(TYPES)}"))
    before = dump(db)
    if marketplace == "ours":
        install(db.dsn(), MARKETPLACE, *[ENGINE, FEATURE] * 2)
    else:
        binding = discover(db.dsn())
        for _ in range(2):
            install_on_theirs(db.dsn(), binding)
        install(db.dsn(), ENGINE)
    for install_role in (install_webhook_role, install_push_role, install_hub_role):
        install_role(db.dsn())
    install(db.dsn(), "sql/monitor_role.sql", "sql/favorites_priority/verify.sql")
    if marketplace == "ours":
        db.sql("select dispatch.set_favorites_priority(true)")
        customer, mechanic = db.make_customer(), db.make_mechanic()
        given, kept, refunded = (
            rpc(db.owner, "process_stripe_event", event=checkout(customer, payment=payment))
            for payment in ("pi_1", "pi_2", "pi_3")
        )
        as_mechanic = db.open()
        as_mechanic.execute("set search_path = pg_catalog, pg_temp")
        become(as_mechanic, mechanic, "authenticated")
        for booked in (given, kept):
            rpc(as_mechanic, "accept_session_request", request_id=booked["request_id"])
        rpc(as_mechanic, "release_session_request", request_id=given["request_id"])
        rpc(as_mechanic, "complete_session_request", request_id=kept["request_id"])
        answer = rpc(db.owner, "process_stripe_event", event=refund("pi_3"))
        assert answer["request_id"] == refunded["request_id"]
        db.sql("delete from public.session_requests")
        db.sql("delete from public.mechanics")
        db.sql("delete from auth.users")
    install(db.dsn(), DOWN, "sql/engine/verify.sql", ENGINE_DOWN)
    if marketplace == "ours":
        install(db.dsn(), MARKETPLACE_DOWN)
    assert dump(db) == before
