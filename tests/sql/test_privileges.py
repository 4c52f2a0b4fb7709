"""Who may do what: every function, table and column against every role, and real refusals."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import install, install_hub_role, install_push_role, install_webhook_role
from stack.postgres import SUPERUSER, Cluster, run_psql
from tests.database import TEMPLATE, Database, fresh_database, refused, rows

ROLES = ["anon", "authenticated", "service_role", "webhook_app", "push_app", "hub_app"]

# A function that stands in no row belongs to the owner alone; a new one fails until it is listed.
CLIENT_RPCS = [
    "accept_session_request(uuid)",
    "acknowledge_notice(bigint)",
    "block_customer(uuid)",
    "block_mechanic(uuid)",
    "broadcast_session_request_now(uuid)",
    "cancel_session_request(uuid)",
    "complete_session_request(uuid)",
    "decline_session_request(uuid,text)",
    "get_checkout_status(text)",
    "get_mechanic_status(uuid)",
    "get_session_request_by_checkout(text)",
    "get_session_request_timeline(uuid)",
    "list_favorite_mechanics()",
    "list_open_session_requests()",
    "list_session_request_events(bigint,integer)",
    "list_session_request_mechanics(uuid)",
    "list_session_request_payments(uuid[])",
    "prepare_checkout(text,uuid,text,integer,boolean,text,uuid[])",
    "register_device(text,text,text)",
    "release_session_request(uuid,text)",
    "reopen_session_request(uuid)",
    "request_free_session(text,uuid,text,text,uuid,uuid[])",
    "set_presence(text)",
    "unblock_customer(uuid)",
    "unblock_mechanic(uuid)",
    "unregister_device(text)",
]
BEHIND_THEM = [
    "dispatch.accept_request(uuid)",
    "dispatch.acknowledge_event(bigint)",
    "dispatch.add_device(text,text,text)",
    "dispatch.broadcast_request_now(uuid)",
    "dispatch.caller_id()",
    "dispatch.cancel_request(uuid)",
    "dispatch.checkout_status(text)",
    "dispatch.complete_request(uuid)",
    "dispatch.create_free_request(text,uuid,text,text,uuid,uuid[])",
    "dispatch.decline_request(uuid,text)",
    "dispatch.get_request_by_checkout(text)",
    "dispatch.get_request_timeline(uuid)",
    "dispatch.hidden_from_caller()",
    "dispatch.list_favorites()",
    "dispatch.list_open_requests()",
    "dispatch.list_payments(uuid[])",
    "dispatch.list_request_events(bigint,integer)",
    "dispatch.list_request_mechanics(uuid)",
    "dispatch.make_checkout(text,uuid,text,integer,boolean,text,uuid[])",
    "dispatch.may_see_request(session_requests)",
    "dispatch.may_use_topic(text,text,text)",
    "dispatch.mechanic_status(uuid)",
    "dispatch.release_request(uuid,text)",
    "dispatch.remove_device(text)",
    "dispatch.reopen_request(uuid)",
    "dispatch.set_customer_block(uuid,boolean)",
    "dispatch.set_mechanic_block(uuid,boolean)",
    "dispatch.set_mechanic_presence(text)",
]
WEBHOOK = ["process_stripe_event(jsonb)", "dispatch.process_stripe_event(jsonb)"]
PUSH = [
    "claim_pushes(integer)",
    "finish_pushes(jsonb)",
    "dispatch.take_pushes(integer,interval,timestamp with time zone)",
    "dispatch.record_answers(jsonb,timestamp with time zone)",
]
HUB = [
    "dispatch.admit_listener(jsonb,text)",
    "dispatch.hear_events(bigint,integer)",
    "dispatch.hear_feed(uuid[])",
    "dispatch.list_missed_events(jsonb,text,bigint,integer)",
]
# Whoever writes to mechanics keeps its index, and runs this for it.
INDEXED = "dispatch.mechanic_words(uuid,boolean,text[],text,text)"
FUNCTIONS = {
    "authenticated": {*CLIENT_RPCS, *BEHIND_THEM, INDEXED},
    "service_role": {*WEBHOOK, *PUSH, INDEXED},
    "webhook_app": {*WEBHOOK, INDEXED},
    "push_app": {*PUSH, INDEXED},
    "hub_app": {*HUB, INDEXED},
    "anon": {INDEXED},
}
CRUD = {"SELECT", "INSERT", "UPDATE", "DELETE"}
TABLES = {
    ("customer_favorites", "authenticated"): {"SELECT", "INSERT", "DELETE"},
    ("customer_favorites", "service_role"): CRUD,
    ("mechanics", "authenticated"): {"SELECT"},
    ("mechanics", "service_role"): CRUD,
    ("service_plans", "anon"): {"SELECT"},
    ("service_plans", "authenticated"): {"SELECT"},
    ("service_plans", "service_role"): CRUD,
    ("session_requests", "service_role"): CRUD,
}
COLUMNS = {
    ("mechanics", "authenticated", "INSERT"): "brands city country display_name id",
    ("mechanics", "authenticated", "UPDATE"): "brands city country display_name",
    ("session_requests", "authenticated", "SELECT"): (
        "accepted_at created_at customer_city customer_country customer_id expires_at"
        " extracted_keywords id is_follow_up is_urgent mechanic_id notification_sent_at plan_code"
        " preferred_mechanic_id preferred_workshop_id priority_notified_at priority_window_minutes"
        " request_type requested_brand session_type status updated_at"
    ),
}
OURS = "('public'::regnamespace, 'dispatch'::regnamespace)"


@pytest.fixture(scope="module", params=["new defaults", "old defaults"])
def installed(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Supabase's two defaults, nothing granted or everything, must end the same."""
    old = request.param == "old defaults"
    with fresh_database(cluster, "template1" if old else TEMPLATE) as database:
        if old:
            run_psql(database.dsn(), "-f", str(ROOT / "stack/supabase_old_grants.sql"))
            install(database.dsn())
            install_webhook_role(database.dsn())
            install_push_role(database.dsn())
            install_hub_role(database.dsn())
        yield database


def test_every_function(installed: Database) -> None:
    found = installed.sql(
        f"""
        select p.oid::regprocedure::text as function, r.rolname as role
        from pg_proc as p cross join pg_roles as r
        where
            p.pronamespace in {OURS} and r.rolname = any(%s)
            and has_function_privilege(r.oid, p.oid, 'execute')
        """,
        ROLES,
    )
    granted = {role: {row["function"] for row in found if row["role"] == role} for role in ROLES}
    assert granted == FUNCTIONS


def test_one_function_is_granted_to_everyone_and_nothing_else(installed: Database) -> None:
    found = installed.sql(
        f"""
        select p.oid::regprocedure::text as thing from pg_proc as p
        cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace in {OURS} and a.grantee = 0
        union all
        select c.oid::regclass::text from pg_class as c
        cross join aclexplode(c.relacl) as a where c.relnamespace in {OURS} and a.grantee = 0
        """
    )
    assert [row["thing"] for row in found] == [INDEXED]


def test_every_table_and_view(installed: Database) -> None:
    found = installed.sql(
        f"""
        select c.oid::regclass::text as name, r.rolname as role, array_agg(privilege) as privileges
        from pg_class as c
        cross join pg_roles as r
        cross join unnest(
            '{{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[]
        ) as privilege
        where
            c.relkind in ('r', 'v', 'm', 'p') and c.relnamespace in {OURS} and r.rolname = any(%s)
            and has_table_privilege(r.oid, c.oid, privilege)
        group by 1, 2
        """,
        ROLES,
    )
    assert {(row["name"], row["role"]): set(row["privileges"]) for row in found} == TABLES


def test_every_column(installed: Database) -> None:
    found = installed.sql(
        f"""
        select
            c.oid::regclass::text as name, r.rolname as role, privilege,
            string_agg(a.attname, ' ' order by a.attname) as columns
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join pg_roles as r
        cross join unnest('{{SELECT,INSERT,UPDATE,REFERENCES}}'::text[]) as privilege
        where
            c.relkind in ('r', 'v') and c.relnamespace in {OURS} and r.rolname = any(%s)
            and has_column_privilege(r.oid, c.oid, a.attnum, privilege)
            and not has_table_privilege(r.oid, c.oid, privilege)
        group by 1, 2, 3
        """,
        ROLES,
    )
    assert {
        (row["name"], row["role"], row["privilege"]): row["columns"] for row in found
    } == COLUMNS


def test_schemas_and_sequences(installed: Database) -> None:
    schemas = installed.sql(
        """
        select n.nspname as schema, r.rolname as role from pg_namespace as n
        cross join pg_roles as r
        where
            n.nspname = 'dispatch' and r.rolname = any(%s)
            and has_schema_privilege(r.oid, n.oid, 'usage')
        """,
        ROLES,
    )
    assert {row["role"] for row in schemas} == {
        "authenticated",
        "service_role",
        "webhook_app",
        "push_app",
        "hub_app",
    }
    assert not installed.sql(
        f"""
        select c.relname from pg_class as c cross join pg_roles as r
        where
            c.relkind = 'S' and c.relnamespace in {OURS} and r.rolname = any(%s)
            and has_sequence_privilege(r.oid, c.oid, 'usage, select, update')
        union all
        select n.nspname from pg_namespace as n cross join pg_roles as r
        where
            n.oid in {OURS} and r.rolname = any(%s)
            and has_schema_privilege(r.oid, n.oid, 'create')
        """,
        ROLES,
        ROLES,
    )


def test_every_table_has_row_level_security(installed: Database) -> None:
    tables = installed.sql(
        f"select relname, relrowsecurity from pg_class"
        f" where relkind = 'r' and relnamespace in {OURS}"
    )
    assert len(tables) == 14 and all(row["relrowsecurity"] for row in tables)


DENIED = [
    "insert into public.session_requests (customer_id, session_type) values (auth.uid(), 'chat')",
    "update public.session_requests set status = 'accepted', mechanic_id = auth.uid()",
    "delete from public.session_requests",
    "truncate public.session_requests cascade",
    "select customer_name from public.session_requests",
    "select customer_email from public.session_requests",
    "select notes from public.session_requests",
    "select metadata from public.session_requests",
    "select * from public.session_requests",
    "update public.mechanics set status = 'approved'",
    "update public.mechanics set is_online = true",
    "update public.mechanics set updated_at = now()",
    "update public.mechanics set id = gen_random_uuid()",
    "insert into public.mechanics (id, status) values (auth.uid(), 'approved')",
    "delete from public.mechanics",
    "truncate public.mechanics cascade",
    "update public.customer_favorites set mechanic_id = auth.uid()",
    "insert into public.service_plans values ('x', 'x', 'chat', 0)",
    "update public.service_plans set price_cents = 0",
    "select * from dispatch.request_events",
    "insert into dispatch.request_events (request_id, event, payload)"
    " values (gen_random_uuid(), 'x', '{}')",
    "select * from dispatch.stripe_events",
    "select * from dispatch.metrics",
    "select nextval('dispatch.request_events_id_seq')",
    "select dispatch.sweep()",
    "select dispatch.sweep_round(now())",
    "select dispatch.set_favorites_priority(false)",
    "select dispatch.favorites_priority_enabled()",
    "select * from dispatch.health()",
    "select * from dispatch.choose_recipients(gen_random_uuid())",
    "select dispatch.deliver_events()",
    "select dispatch.prune_events('0')",
    "select dispatch.prune_stripe_events('0')",
    "select dispatch.prune_cron_runs('0')",
    "select * from dispatch.explain_routing(gen_random_uuid())",
    "select dispatch.replay_stripe_event('x')",
    "select dispatch.raise_error('not_signed_in')",
    "select public.process_stripe_event('{}')",
    "create function dispatch.x() returns int language sql as 'select 1'",
    "create table public.x ()",
    "set role postgres",
]


@pytest.mark.parametrize("statement", DENIED)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_client_is_refused(installed: Database, role: str, statement: str) -> None:
    """As authenticator, who may become the client's role, and no more."""
    with psycopg.connect(installed.dsn("authenticator")) as connection:
        connection.execute(f"set local role {role}".encode())
        claims = '{"sub": "00000000-0000-4000-8000-00000000000a"}'
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        with refused("42501"):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        *(f"select * from public.{table}" for table in ("mechanics", "session_requests")),
        "select * from public.service_plans",
        "select * from dispatch.stripe_events",
        "insert into public.session_requests (customer_id, session_type)"
        " values (gen_random_uuid(), 'chat')",
        "select public.set_presence('online')",
        "select dispatch.replay_stripe_event('x')",
        "select dispatch.sweep()",
        "select * from auth.users",
    ],
)
def test_the_webhooks_role_can_call_one_function(installed: Database, statement: str) -> None:
    with psycopg.connect(installed.dsn("webhook_app"), autocommit=True) as connection:
        with refused("42501"):
            connection.execute(statement.encode())
        with refused("PT422", "invalid_event"):
            connection.execute("select public.process_stripe_event('{}')")


@pytest.mark.parametrize(
    "statement",
    [
        "select * from dispatch.request_events",
        "insert into dispatch.stripe_events (id, type, payload) values ('x', 'x', '{}')",
        "select dispatch.set_favorites_priority(false)",
        "select dispatch.sweep()",
        "truncate public.session_requests",
        "select dispatch.replay_stripe_event('x')",
    ],
)
def test_the_backends_role_has_no_business_in_dispatch(installed: Database, statement: str) -> None:
    with refused("42501"):
        rows(installed.connect(role="service_role"), statement)


def test_row_level_security_shows_each_their_own(shared: Database) -> None:
    customer, stranger = shared.make_customer(), shared.make_customer()
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    applicant, suspended = shared.make_mechanic("pending"), shared.make_mechanic("suspended")
    shared.sql("insert into customer_favorites values (%s, %s)", customer, favourite)
    reserved = shared.make_request(customer, favourite)
    broadcast = shared.make_request(customer)
    taken = shared.make_request(customer, mechanic_id=other, status="accepted")

    def sees(who: str | None, query: str, role: str = "authenticated") -> set[str]:
        return {str(row["id"]) for row in rows(shared.connect(who, role), query)}

    requests = "select id from public.session_requests"
    assert sees(customer, requests) == {reserved, broadcast, taken}
    assert sees(favourite, requests) == {reserved, broadcast}
    assert sees(other, requests) == {broadcast, taken}
    assert sees(None, requests, "service_role") == {reserved, broadcast, taken}
    for who in (stranger, applicant, suspended, None):
        assert sees(who, requests) == set()
    with refused("42501"):
        sees(None, requests, "anon")

    mechanics = "select id from public.mechanics"
    approved = {favourite, other}
    assert sees(stranger, mechanics) == approved == sees(None, mechanics)
    assert sees(suspended, mechanics) == approved | {suspended}
    assert sees(None, mechanics, "service_role") == approved | {suspended, applicant}

    favourites = "select mechanic_id as id from public.customer_favorites"
    assert sees(customer, favourites) == {favourite}
    assert sees(stranger, favourites) == sees(favourite, favourites) == set()

    shared.sql(
        "insert into service_plans (code, title, session_type, price_cents, is_active)"
        " values ('old', 'Old', 'chat', 1, false)"
    )
    plans = "select code as id from public.service_plans"
    assert len(sees(None, plans, "anon")) == len(sees(customer, plans)) == 3
    assert len(sees(None, plans, "service_role")) == 4


def test_rows_of_others_cannot_be_written(shared: Database) -> None:
    customer, other, mechanic = (
        shared.make_customer(),
        shared.make_customer(),
        shared.make_mechanic(),
    )
    shared.sql("insert into customer_favorites values (%s, %s)", other, mechanic)
    connection = shared.connect(customer)
    insert = b"insert into public.customer_favorites (customer_id, mechanic_id) values (%s, %s)"
    with refused("42501"):
        connection.execute(insert, (other, mechanic))
    with refused("42501"):
        connection.execute("insert into public.mechanics (id) values (%s)", (other,))
    assert connection.execute("delete from public.customer_favorites").rowcount == 0
    assert connection.execute("update public.mechanics set city = 'x'").rowcount == 0
    # One's own: applied for, and pending until somebody else approves.
    connection.execute("insert into public.mechanics (id, city) values (%s, 'x')", (customer,))
    connection.execute(insert, (customer, mechanic))
    assert shared.value("select status from mechanics where id = %s", customer) == "pending"
    assert connection.execute("update public.mechanics set city = 'y'").rowcount == 1
    assert connection.execute("delete from public.customer_favorites").rowcount == 1


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_cron_jobs_cannot_be_touched_by_clients(cluster: Cluster, role: str) -> None:
    with Database(cluster, "postgres") as database:
        connection = database.connect(role=role)
        for statement in (
            "select * from cron.job",
            "select cron.schedule('x', '* * * * *', 'select 1')",
            "select cron.unschedule('dispatch-sweep')",
        ):
            with refused("42501"):
                rows(connection, statement)


@pytest.mark.parametrize(
    ("role", "install_role"), [("webhook_app", install_webhook_role), ("hub_app", install_hub_role)]
)
def test_what_a_slow_call_is_given_is_in_no_log(
    cluster: Cluster, role: str, install_role: Callable[[str], None]
) -> None:
    """The server logs what is slow: here everything. Who may not set it installs all the same."""
    log = Path(cluster.base_dir) / "Cluster.log"
    install_role(cluster.dsn())
    with psycopg.connect(cluster.dsn(SUPERUSER), autocommit=True) as superuser:
        superuser.execute(f"alter role {role} set log_min_duration_statement = 0".encode())
        try:
            install_role(cluster.dsn(SUPERUSER))
            with psycopg.connect(cluster.dsn(role)) as connection:
                connection.execute(b"select %s::text as of_" + role.encode(), ["zoe@slow.example"])
        finally:
            superuser.execute(f"alter role {role} reset all".encode())
    assert f"as of_{role}" in log.read_text()
    assert "zoe@slow.example" not in log.read_text()


def test_a_password_given_by_psql_is_in_no_log(cluster: Cluster) -> None:
    """As docs/installing.md has it for the webhook's role; the server logs every statement."""
    log = Path(cluster.base_dir) / "Cluster.log"
    with Database(cluster, "postgres") as database:
        database.sql("create role new_app login")
        try:
            subprocess.run(
                ["psql", "-X", "-d", cluster.dsn(SUPERUSER), "-c", r"\password new_app"],
                env=os.environ | {"PGOPTIONS": "-c log_statement=all"},
                input="hunter2\nhunter2\n",
                text=True,
                check=True,
                start_new_session=True,  # else it asks at the terminal
            )
            stored = "select rolpassword from pg_authid where rolname = 'new_app'"
            assert rows(database.superuser(), stored)[0]["rolpassword"].startswith("SCRAM-SHA-256")
        finally:
            database.sql("drop role new_app")
    # From 17 on psql quotes the name.
    assert re.search("""new_app"? PASSWORD 'SCRAM""", log.read_text())
    assert "hunter2" not in log.read_text()
