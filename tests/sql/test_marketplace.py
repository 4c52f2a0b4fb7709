"""Which database a layer comes to: what it lacks is told, and what was there first stays."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from stack import ROOT
from stack.install import (
    DOWN,
    ENGINE,
    ENGINE_DOWN,
    FEATURE,
    MARKETPLACE,
    discover,
    install,
    install_on_theirs,
)
from stack.postgres import SUPERUSER, Cluster, binary, run_psql
from tests.database import (
    Database,
    Row,
    catalogue,
    checkout,
    dump,
    eventually,
    fresh_database,
    refused,
    rows,
    rpc,
)
from tests.further import further_but

VERIFY = "sql/favorites_priority/verify.sql"
GARAGE = (ROOT / "examples/marketplaces/garage/schema.sql").read_text()
HISTORY = """
insert into auth.users (email) values ('old@mail.example'), ('mona@mail.example');
insert into public.mechanics (user_id, name, application_status)
select id, 'Mona', 'approved' from auth.users where email = 'mona@mail.example';
insert into public.session_requests (customer_id, session_type, status)
select u.id, 'chat', (array['pending', 'accepted', 'completed', 'unattended'])[1 + n % 4]
from auth.users as u, generate_series(1, 10000) as n where u.email = 'old@mail.example';
"""
TRAITS = """
select c.relname, c.relfilenode, c.relrowsecurity, c.relacl::text, c.reloptions,
    (
        select jsonb_agg(to_jsonb(p) order by p.oid) from pg_policy as p
        where p.polrelid = c.oid and p.polname <> 'dispatch_reserved'
    ) as policies
from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1
"""
# Where each row is, and who wrote it last.
ROWS = "select sum(hashtextextended(ctid::text || xmin::text, 0)) from public.session_requests"


@contextmanager
def template(cluster: Cluster, name: str, of: str = "template1") -> Iterator[Database]:
    """A database that tests have copies of; whoever makes it leaves before it is copied."""
    cluster.create_database(name, of)
    with Database(cluster, name) as database:
        yield database


@pytest.fixture(scope="module")
def garages(cluster: Cluster) -> Iterator[str]:
    with template(cluster, "garages") as database:
        database.sql(GARAGE)
    yield database.name
    cluster.drop_database(database.name)


@pytest.fixture(scope="module")
def binding(cluster: Cluster, garages: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its binding, as discover.sql writes it."""
    path = tmp_path_factory.mktemp("garage") / "binding.sql"
    path.write_text(discover(cluster.dsn(dbname=garages)))
    return path


@pytest.fixture(scope="module")
def garages_bound(cluster: Cluster, garages: str, binding: Path) -> Iterator[str]:
    with template(cluster, "garages_bound", garages) as database:
        install_engine(database, binding)
    yield database.name
    cluster.drop_database(database.name)


@pytest.fixture(scope="module")
def garages_with_history(cluster: Cluster, garages_bound: str) -> Iterator[str]:
    with template(cluster, "garages_with_history", garages_bound) as database:
        database.sql(HISTORY)
    yield database.name
    cluster.drop_database(database.name)


@pytest.fixture
def garage(cluster: Cluster, garages: str) -> Iterator[Database]:
    """A marketplace that was there first, with nothing of ours."""
    with fresh_database(cluster, garages) as database:
        yield database


def install_engine(database: Database, binding: Path) -> None:
    run_psql(database.dsn(), "-v", f"binding={binding}", "-f", str(ROOT / ENGINE))


@pytest.fixture
def theirs(cluster: Cluster, garages_bound: str) -> Iterator[Database]:
    """The same with the engine on it."""
    with fresh_database(cluster, garages_bound) as database:
        yield database


def test_nothing_of_theirs_changes(garage: Database, binding: Path) -> None:
    db = garage
    db.sql(HISTORY)
    traits, content, before = db.sql(TRAITS), db.sql(ROWS), dump(db)
    for _ in range(2):
        install_engine(db, binding)
        install(db.dsn(), ENGINE)  # the binding stays
        for _ in range(2):
            install(db.dsn(), FEATURE)
        assert db.sql(TRAITS) == traits
        assert db.sql(ROWS) == content
        # The last column is followed by a comma now.
        missing = {line.rstrip(",") for line in before.splitlines()} - {
            line.rstrip(",") for line in dump(db).splitlines()
        }
        assert not missing
        install(db.dsn(), DOWN, ENGINE_DOWN)
        assert dump(db) == before
        assert db.sql(TRAITS) == traits
        assert db.sql(ROWS) == content


def test_the_migrations_install_the_same(engine_db: Database, cluster: Cluster) -> None:
    """For those who have no marketplace of their own."""
    install(engine_db.dsn(), FEATURE)
    with fresh_database(cluster, "template1") as copy:
        for path in sorted((ROOT / "supabase/migrations").glob("*.sql")):
            run_psql(copy.dsn(), "-1", "-f", str(path))
        assert dump(copy) == dump(engine_db)


INDEXES = {
    "sql/marketplace/indexes.sql": "session_requests_open_idx",
    "sql/engine/indexes_ours.sql": "mechanics_matches_idx",
    "sql/favorites_priority/indexes.sql": "session_requests_preferred_mechanic_idx",
    "sql/favorites_priority/indexes_ours.sql": "session_requests_priority_deadline_idx",
}


@pytest.mark.parametrize("file", INDEXES)
def test_they_go_on_writing_while_indexes_are_built(db: Database, file: str) -> None:
    writer = db.open()
    db.sql(f"drop index {INDEXES[file]}")
    waiting = """
        select count(*) from pg_stat_activity
        where wait_event = 'virtualxid' and query like '%index concurrently%'
        and datname = current_database()
    """
    with ThreadPoolExecutor() as pool:
        with writer.transaction():
            # The new index waits for this transaction; nobody waits for the index.
            db.make_request(preferred=db.make_mechanic(), connection=writer)
            writer.execute("update public.mechanics set updated_at = now()")
            running = pool.submit(lambda: run_psql(db.dsn(), "-f", str(ROOT / file)))
            eventually(lambda: db.value(waiting) or running.done())
            assert not running.done()
            db.make_request(preferred=db.make_mechanic())
        running.result()


# A marketplace that is not ours, or none.


@pytest.mark.parametrize(
    "table", ["mechanics", "customer_favorites", "service_plans", "session_requests"]
)
def test_the_reference_marketplace_comes_to_no_other(empty_db: Database, table: str) -> None:
    empty_db.sql(f"create table public.{table} (id uuid primary key)")
    before = catalogue(empty_db)
    # Another lack may be told first: a table of this name that the engine could not read.
    with pytest.raises(RuntimeError, match="nothing was changed"):
        install(empty_db.dsn(), MARKETPLACE)
    assert catalogue(empty_db) == before


def test_it_says_which_tables_were_there_first(garage: Database) -> None:
    before = catalogue(garage)
    with pytest.raises(RuntimeError) as raised:
        install(garage.dsn(), MARKETPLACE)
    assert (
        "a marketplace was here first, and nothing was changed: public.customer_favorites,"
        " public.mechanics, public.service_plans, public.session_requests" in str(raised.value)
    )
    assert "sql/discover.sql" in str(raised.value)
    assert catalogue(garage) == before


def test_the_engine_without_a_binding_comes_to_no_other(
    garage: Database, engine_db: Database, cluster: Cluster
) -> None:
    before = catalogue(garage)
    with pytest.raises(RuntimeError, match="a marketplace was here first, and nothing") as raised:
        install(garage.dsn(), ENGINE)
    assert "sql/discover.sql > binding.sql" in str(raised.value)
    assert catalogue(garage) == before
    with (
        fresh_database(cluster, "template1") as none,
        pytest.raises(RuntimeError, match="there is no marketplace here, and nothing was changed"),
    ):
        install(none.dsn(), ENGINE)
    # A table of ours that lost its comment is not taken for ours.
    engine_db.sql("comment on table public.session_requests is null")
    install(engine_db.dsn(), FEATURE)
    assert engine_db.value("select dispatch.governs_all()") is True


# What is wrong, and what is said of it.
FAULTS = {
    "alter table mechanics rename to people; create view mechanics as table people;"
    " alter view mechanics owner to postgres": ("mechanics is not an ordinary table: rename it"),
    "alter table session_requests rename to requests; create view session_requests as"
    " table requests; alter view session_requests owner to postgres": (
        "session_requests is not an ordinary table: rename it"
    ),
    "alter table session_requests owner to supabase_auth_admin": (
        "table session_requests belongs to supabase_auth_admin: install as that role"
    ),
    "alter table session_requests rename mechanic_id to helper": (
        "column session_requests.mechanic_id is missing: this is another table"
    ),
    "drop view open_session_requests;"
    " alter table session_requests alter created_at drop default,"
    " alter created_at type text": (
        "column session_requests.created_at is text: this is another table"
    ),
    "alter table session_requests drop status cascade, add status text generated always as"
    " (case when accepted_at is null then 'pending' else 'accepted' end) stored": (
        "column session_requests.status is computed, and no accept could be written: make it"
    ),
    "alter table session_requests drop constraint session_requests_pkey": (
        "table session_requests has no unique key (id): alter table public.session_requests add"
    ),
    "alter table mechanics drop constraint mechanics_pkey cascade": (
        "table mechanics has no unique key (id): alter table public.mechanics add unique (id)"
    ),
    "create function set_presence(status text) returns int language sql as 'select 1'": (
        "function public.set_presence(text) is the marketplace's own: rename it"
    ),
    "alter trigger trigger_set_session_request_expiration on session_requests"
    " rename to zzz_dispatch_guard": (
        "trigger zzz_dispatch_guard is the marketplace's own: alter trigger"
    ),
    "create rule done as on update to session_requests where old.status = 'completed'"
    " do instead nothing": (
        'cannot perform UPDATE RETURNING on relation "session_requests": by its rule done: make'
    ),
    "create schema dispatch; create table dispatch.vans ()": (
        "schema dispatch is somebody else's: rename it"
    ),
    "create index session_requests_priority_notified_idx on session_requests (id);"
    " update pg_index set indisvalid = false"
    " where indexrelid = 'session_requests_priority_notified_idx'::regclass": (
        "index public.session_requests_priority_notified_idx is invalid: drop index concurrently"
    ),
    "drop function auth.uid() cascade": "auth.uid() is missing: Supabase Auth has it",
    "drop function auth.jwt() cascade": "auth.jwt() is missing: Supabase Auth has it",
    "drop table auth.users cascade": "table auth.users is missing: Supabase Auth has it",
    "revoke update on auth.users from postgres": (
        "postgres may not lock the rows of auth.users: grant select, update on auth.users"
    ),
}
# Each of these excludes another.
EXCLUDING = {
    fault for fault in FAULTS if re.search("create view|revoke update on auth.users", fault)
}


def told(error: str) -> list[str]:
    assert "is not ready, and nothing was changed" in error, error
    return [line[2:] for line in error.splitlines() if line.startswith("- ")]


def refusal(database: Database, file: str, binding: Path | None = None) -> list[str]:
    """The lines of the refusal, with which nothing has changed."""
    before = catalogue(database)
    given = ("-v", f"binding={binding}") if binding else ()
    with pytest.raises(RuntimeError, match="is not ready") as raised:
        run_psql(database.dsn(), *given, "-f", str(ROOT / file))
    assert catalogue(database) == before
    return told(str(raised.value))


@pytest.mark.parametrize("fault", further_but(list(FAULTS)[::4], list(FAULTS)))
def test_each_lack_is_told(garage: Database, binding: Path, fault: str) -> None:
    garage.superuser().execute(fault.encode())
    (line,) = refusal(garage, ENGINE, binding)
    assert line.startswith(FAULTS[fault])


def test_an_owner_who_sees_no_account_is_told(empty_db: Database) -> None:
    """As Supabase's own is exempt from row level security, another may not be."""
    superuser = empty_db.superuser()
    superuser.execute(
        "create role stranger login; grant usage on schema auth to stranger;"
        " grant select, update on auth.users to stranger"
    )
    line = "row level security hides the rows of auth.users from stranger: alter role stranger"
    try:
        for policy, is_told in (("", True), ("create policy p on auth.users using (true)", False)):
            superuser.execute(policy.encode())
            # Without the policy for this, then for what is lacking next.
            with pytest.raises(RuntimeError) as raised:
                run_psql(empty_db.dsn("stranger"), "-f", str(ROOT / MARKETPLACE))
            assert (line in str(raised.value)) == is_told
    finally:
        superuser.execute("drop owned by stranger; drop role stranger")


TYPED = """
do $$ begin
    execute (
        select format('create type public.as_it_is as (%s)', string_agg(
            format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum
        ))
        from pg_attribute
        where attrelid = 'session_requests'::regclass and attnum > 0 and not attisdropped
    );
    alter table session_requests of public.as_it_is;
end $$"""
DEFERRABLE = """
alter table mechanics drop constraint mechanics_pkey cascade;
alter table mechanics add primary key (id) deferrable"""
PART = """
create table all_requests (like session_requests) partition by range (created_at);
alter table all_requests attach partition session_requests
for values from ('2020-01-01') to ('2120-01-01')"""
# What would have failed half-way, or would have been taken along by down.sql.
IN_THE_WAY = {
    PART: "session_requests is not an ordinary table: rename it; views and partitions cannot be",
    "create schema dispatch; comment on schema dispatch is 'vans'": "schema dispatch is somebody",
    "create schema dispatch; create function dispatch.f() returns int language sql as 'select 1'": (
        "schema dispatch is somebody else's: rename it"
    ),
    "create schema dispatch; create table dispatch.request_events (id int primary key, van text)": (
        "schema dispatch is somebody else's: rename it"
    ),
    DEFERRABLE: "table mechanics has no unique key (id): alter table public.mechanics add unique",
    TYPED: "session_requests is a table of the type public.as_it_is, which has its columns: alter",
}


@pytest.mark.parametrize("fault", IN_THE_WAY, ids=list(map(str, range(len(IN_THE_WAY)))))
def test_what_is_in_the_way_is_told_before_anything_changes(
    garage: Database, binding: Path, fault: str
) -> None:
    garage.sql(fault)
    (line,) = refusal(garage, ENGINE, binding)
    assert line.startswith(IN_THE_WAY[fault])


def test_a_job_of_theirs_is_not_replaced(cluster: Cluster, engine_db: Database) -> None:
    """pg_cron knows its jobs by their names."""
    with Database(cluster, "postgres") as db:
        db.sql("select cron.schedule('dispatch-retention', '0 0 * * *', 'select 1')")
        try:
            (line,) = refusal(db, ENGINE)
            assert line.startswith("cron job dispatch-retention is the marketplace's own: schedule")
            # Nor that of another database, which would keep running there.
            db.sql("select cron.unschedule('dispatch-retention')")
            db.sql(
                "select cron.schedule_in_database('dispatch-retention', '0 0 * * *',"
                " 'select dispatch.sweep()', %s)",
                engine_db.name,
            )
            (line,) = refusal(db, ENGINE)
            assert line.startswith(
                "cron job dispatch-retention of postgres runs in database test_"
            ), line
        finally:
            db.sql("select cron.unschedule('dispatch-retention')")
            install(db.dsn(), ENGINE)
    # Another database's is its own affair.
    install(engine_db.dsn(), ENGINE)


def test_a_key_and_columns_of_another_make_will_do(empty_db: Database) -> None:
    """Discovery and install agree on it: a unique index with more in it, domains, odd columns."""
    garage, schema = empty_db, GARAGE
    for old, new in {
        "session_requests (\n    id uuid": "session_requests (\n    id public.a_key",
        "created_at timestamptz not null default now(),\n    customer_id uuid": (
            "created_at public.moment not null default now(),\n    customer_id public.a_key"
        ),
        "accepted_at timestamptz": "accepted_at bigint",
        "expires_at timestamptz": "expires_at timestamptz, lives interval",
        "requested_brand text": "requested_brand jsonb",
        "customer_city text": "customer_city text[]",
    }.items():
        assert old in schema
        schema = schema.replace(old, new)
    garage.sql(f"create domain a_key as uuid; create domain moment as timestamptz; {schema}")
    garage.sql("drop trigger trigger_set_session_request_expiration on session_requests")
    garage.sql("alter table session_requests drop expires_at")
    garage.sql("alter table session_requests rename lives to expires_at")
    garage.sql("alter table mechanics drop constraint mechanics_pkey cascade")
    garage.sql("create unique index on mechanics (id) include (name)")
    before = dump(garage)
    install_on_theirs(garage.dsn())
    run_psql(garage.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))
    garage.sql("select dispatch.set_favorites_priority(true)")
    customer, user = garage.make_customer(), garage.make_customer()
    mechanic = garage.value(
        "insert into mechanics (user_id, application_status) values (%s, 'approved') returning id",
        user,
    )
    (row,) = garage.sql(BOOK.format("preferred_mechanic_id", "%s"), customer, mechanic)
    request = str(row["id"])
    rpc(garage.connect(user), "accept_session_request", request_id=request)
    assert garage.log(request) == ["priority_request", "request_accepted"]
    install(garage.dsn(), DOWN, ENGINE_DOWN)
    assert dump(garage) == before


def test_tables_that_another_role_lets_be_read_alone(garage: Database, binding: Path) -> None:
    """What the binding reads need not be the installer's: the engine comes, and goes again."""
    garage.superuser().execute(
        "alter table service_plans owner to supabase_auth_admin;"
        "alter table service_plans disable row level security;"
        "alter table customer_favorites owner to supabase_auth_admin;"
        "create policy engine on customer_favorites to postgres using (true);"
        "revoke all on service_plans, customer_favorites"
        " from postgres, anon, authenticated, service_role;"
        "grant select on service_plans, customer_favorites to postgres"
    )
    before = dump(garage)
    for _ in range(2):
        install_engine(garage, binding)
        install(garage.dsn(), FEATURE, VERIFY)
    install(garage.dsn(), DOWN, ENGINE_DOWN)
    assert dump(garage) == before


def test_no_function_of_theirs_is_replaced(garage: Database, binding: Path, db: Database) -> None:
    query = """
    select oid::regprocedure::text as signature from pg_proc
    where pronamespace = 'public'::regnamespace and prosrc ~ 'dispatch[.]'
    """
    ours = {row["signature"] for row in db.sql(query)}
    for signature in ours:
        garage.sql(f"create function {signature} returns text language sql as 'select 1::text'")
    lines = refusal(garage, ENGINE, binding)
    assert {line.partition(" is the marketplace's own")[0] for line in lines} == {
        f"function public.{signature}" for signature in ours
    }


def test_a_binding_whose_mechanics_cannot_be_locked_is_told(
    garage: Database, binding: Path, tmp_path: Path
) -> None:
    path, text = tmp_path / "binding.sql", binding.read_text()
    of = "from public.mechanics as m"
    path.write_text(text.replace(of, f"{of} left join auth.users as u on u.id = m.user_id"))
    (line,) = refusal(garage, ENGINE, path)
    assert line.startswith("rows of dispatch.mechanics cannot be locked: ")
    path.write_text(text.replace(of, f"{of} inner join auth.users as u on u.id = m.user_id"))
    install_engine(garage, path)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_a_role_that_is_missing_is_told(cluster: Cluster, garage: Database, role: str) -> None:
    # Roles are the whole cluster's: renamed in a transaction that the refusal ends.
    command = ["psql", "-X", "-q", "-d", cluster.dsn(SUPERUSER, garage.name)]
    command += ["-c", "begin", "-c", f"alter role {role} rename to elsewhere"]
    result = subprocess.run(
        [*command, "-f", str(ROOT / ENGINE)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    (line,) = told(result.stderr)
    assert line == f"role {role} is missing: Supabase has it; elsewhere create it"


def test_all_that_is_lacking_is_told_at_once(garage: Database, binding: Path) -> None:
    faults = [fault for fault in FAULTS if fault not in EXCLUDING]
    for fault in sorted(faults, key=lambda fault: "owner to" in fault):
        garage.superuser().execute(fault.encode())
    lines = refusal(garage, ENGINE, binding)
    assert [
        fault for fault in faults if not any(line.startswith(FAULTS[fault]) for line in lines)
    ] == []
    assert len(lines) == len(faults)


UNBOUND = {
    "drop view dispatch.favorites; create view dispatch.favorites as"
    " select null::uuid as customer_id, null::uuid as mechanic_id": (
        "the binding has no column favorited_at of dispatch.favorites: mend it in the binding"
    ),
    "drop view dispatch.plans; create view dispatch.plans as select null::text as code,"
    " null::text as title, null::text as session_type, null::numeric as price_cents,"
    " null::text as currency, true as is_active": (
        "column price_cents of dispatch.plans is numeric, not integer: mend it in the binding"
    ),
    "drop function dispatch.feed_is_private()": (
        "the binding has no function dispatch.feed_is_private() returns boolean: mend it"
    ),
    "create or replace function dispatch.taken_off() returns text language sql immutable"
    " as 'select ''r.gone_at is not null''::text'": (
        "dispatch.taken_off() is no condition on a row r of session_requests: column r.gone_at does"
        " not exist: mend it in the binding"
    ),
    "create or replace function dispatch.open_to() returns text language sql immutable"
    " as 'select ''shop = 1''::text'": (
        "dispatch.open_to() is no condition on a row of session_requests: column"
    ),
    "create or replace function dispatch.approval_columns() returns text[] language sql immutable"
    " as 'select array[''application_status'', ''suspended_on'']'": (
        "dispatch.approval_columns() names suspended_on, which mechanics has not: mend it in the"
        " binding"
    ),
}


def test_what_the_binding_lacks_is_told(garage: Database, binding: Path, tmp_path: Path) -> None:
    text, path = binding.read_text(), tmp_path / "binding.sql"
    for fault, line in UNBOUND.items():
        path.write_text(f"{text};\n{fault};\n")
        (found,) = refusal(garage, ENGINE, path)
        assert found.startswith(line)
    path.write_text(";\n".join([text, *UNBOUND]) + ";\n")
    assert len(refusal(garage, ENGINE, path)) == len(UNBOUND)


def test_another_binding_takes_the_place_of_the_one_before(
    theirs: Database, binding: Path, tmp_path: Path
) -> None:
    online = "(m.application_status = 'approved' and m.application_status is not null)"
    path, text = tmp_path / "binding.sql", binding.read_text()
    assert online in text
    path.write_text(text.replace(online, f"({online} and m.can_accept_sessions is true)"))
    customer, mechanic = theirs.make_customer(), theirs.make_customer()
    theirs.sql(
        "insert into mechanics (user_id, application_status) values (%s, 'approved')", mechanic
    )
    assert customer
    approved = "select count(*) from dispatch.mechanics where is_approved"
    assert theirs.value(approved) == 1
    install_engine(theirs, path)
    assert theirs.value(approved) == 0
    install(theirs.dsn(), ENGINE)
    assert theirs.value(approved) == 0


# The feature on it.


def test_an_approval_in_another_table(empty_db: Database, tmp_path: Path) -> None:
    """The binding may say so. The window of one who is suspended is over; no trigger tells it."""
    db, path = empty_db, tmp_path / "binding.sql"
    db.sql(GARAGE.replace("application_status", "stage"))
    db.sql("alter table mechanics drop stage")
    db.sql("create table profiles (id uuid references auth.users (id), is_mechanic boolean)")
    found = discover(db.dsn())
    assert "QUESTION: Which mechanics are approved?" in found
    other = "exists (select from public.profiles as o where o.id = m.user_id and o.is_mechanic)"
    path.write_text(found.replace("    false as is_approved", f"    {other} as is_approved"))
    install_engine(db, path)
    install(db.dsn(), FEATURE)
    run_psql(db.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))
    db.sql("select dispatch.set_favorites_priority(true)")
    customer, frank, mona = (db.make_customer() for _ in range(3))
    db.sql("insert into profiles select id, true from auth.users where id <> %s", customer)
    add = "insert into mechanics (user_id) values (%s) returning id"
    franks = db.value(add, frank)
    assert db.value(add, mona)
    (row,) = db.sql(BOOK.format("preferred_mechanic_id", "%s"), customer, franks)
    request = str(row["id"])
    with refused("PT404", "request_not_found"):
        rpc(db.connect(mona), "accept_session_request", request_id=request)
    db.sql("update profiles set is_mechanic = false where id = %s", frank)
    assert db.log(request) == ["priority_request"]
    assert rpc(db.connect(mona), "accept_session_request", request_id=request)


def test_a_database_that_quotes_all_names(garage: Database, binding: Path) -> None:
    garage.sql(f'alter database "{garage.name}" set quote_all_identifiers = on')
    named = "^-- Binding of the marketplace in the database .*$"
    found, expected = (
        re.sub(named, "", text, flags=re.MULTILINE)
        for text in (discover(garage.dsn()), binding.read_text())
    )
    assert found == expected
    install_on_theirs(garage.dsn())
    run_psql(garage.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))
    # Noted in one session, looked at in another.
    garage.sql(f'alter database "{garage.name}" reset quote_all_identifiers')
    run_psql(garage.dsn(), "-f", str(ROOT / "sql/favorites_priority/verify.sql"))


# As in PostgreSQL's manual.
AUDIT = (
    "create table audit (operation text, stamp timestamptz, like session_requests);"
    "create function keep_row() returns trigger language plpgsql as $$ begin"
    " if tg_op = 'DELETE' then insert into audit select 'D', now(), old.*; return old; end if;"
    " insert into audit select 'U', now(), new.*; return new; end $$;"
    "create trigger keep_row before insert or update or delete on session_requests"
    " for each row execute function keep_row()"
)
# Of a statement, by its transition tables; in another schema; and by a statement made as it runs.
KEPT_OTHERWISE = {
    "by another name": (
        "insert into audit select tg_op, now(), n.* from rows_after as n; return null;",
        "referencing new table as rows_after for each statement",
        "audit",
    ),
    "bare": (
        "insert into audit select 'U', now(), * from rows_after; return null;",
        "referencing new table as rows_after for each statement",
        "audit",
    ),
    "in a schema": (
        "insert into archive.audit select 'U', now(), new.*; return new;",
        "for each row",
        "archive.audit",
    ),
    "the second": (
        "if tg_op = 'UPDATE' then insert into narrow values (new.id); end if;"
        " insert into audit values ('U', now(), new.*); return new;",
        "for each row",
        "audit",
    ),
    "read anew": (
        "insert into audit select 'U', now(), r.* from session_requests r where id = new.id;"
        " return null;",
        "for each row",
        "audit",
    ),
    "read anew, bare": (
        "insert into audit -- as it is now\n select 'U', now(), * from public.session_requests;"
        " return null;",
        "for each row",
        "audit",
    ),
    "between comments": (
        "/* before */ insert into audit /* it */ select 'U', now(), new.*; /* after */ return new;",
        "for each row",
        "audit",
    ),
    "after a text": (
        r"perform E'it\'s'; insert into audit as a overriding system value"
        " values (coalesce(upper(tg_op), 'U'), now(), \"new\".*); return new;",
        "for each row",
        "audit",
    ),
    "in a variable": (
        "declare row session_requests%rowtype; begin row := new;"
        " insert into audit (select 'U', now(), row.*); return new; end;",
        "for each row",
        "audit",
    ),
    "execute": (
        "execute format('insert into %I select ''U'', now(), ($1).*', 'audit') using new;"
        " return new;",
        "for each row",
        "audit",
    ),
}
NAMES_TAKEN = {
    # What our own hint, to rename the column, leaves behind.
    "alter table session_requests add preferred_mechanic_id text unique,"
    " add constraint session_requests_preferred_mechanic_id_fkey"
    " foreign key (preferred_mechanic_id) references service_plans (slug);"
    " alter table session_requests rename preferred_mechanic_id to wanted": (
        "constraint session_requests_preferred_mechanic_id_fkey of session_requests is of another"
        " column: alter table public.session_requests rename constraint"
    ),
    "create table old (priority_notified_at text) inherits (session_requests)": (
        "column old.priority_notified_at is text, not timestamptz: alter table public.old rename"
    ),
    "create index session_requests_preferred_mechanic_idx on mechanics (city)": (
        "index public.session_requests_preferred_mechanic_idx is of something else: rename it"
    ),
    "create view session_requests_priority_notified_idx as select 1 as one": (
        "view public.session_requests_priority_notified_idx is of something else: rename it"
    ),
    "create function first_open() returns session_requests language sql stable begin atomic"
    " select * from session_requests where status = 'pending' limit 1; end": (
        "function public.first_open() returns the columns that session_requests has now: make it"
    ),
    AUDIT: (
        "trigger function public.keep_row() inserts whole rows of session_requests: name its"
        " columns, or first alter table audit add preferred_mechanic_id uuid, add"
    ),
}


@pytest.mark.parametrize(
    "fault", NAMES_TAKEN, ids=["fkey", "heir", "index", "view", "function", "audit"]
)
def test_what_the_columns_would_meet_is_told(theirs: Database, fault: str) -> None:
    theirs.sql(fault)
    (line,) = refusal(theirs, FEATURE)
    assert line.startswith(NAMES_TAKEN[fault])


@pytest.mark.parametrize(
    "kept",
    further_but(["bare", "read anew", "between comments", "in a variable"], KEPT_OTHERWISE),
)
def test_whole_rows_are_kept_in_more_than_one_way(
    theirs: Database, kept: tuple[str, str, str]
) -> None:
    body, each, target = kept
    theirs.sql(
        "create schema archive; create table narrow (id uuid);"
        f"create table {target} (operation text, stamp timestamptz, like session_requests);"
        f"create function keep_row() returns trigger language plpgsql as $$ begin {body} end $$;"
        "create trigger keep_row after insert on session_requests"
        f" {each} execute function keep_row()"
    )
    (line,) = refusal(theirs, FEATURE)
    assert line.startswith("trigger function public.keep_row() inserts whole rows of ")
    assert re.search(rf" first alter table (public\.)?{target} add preferred_mechanic_id", line)
    theirs.sql(line.partition("or first ")[2])
    for _ in range(2):
        install(theirs.dsn(), FEATURE)
    booking = "insert into session_requests (customer_id, session_type) values (%s, 'chat')"
    theirs.sql(booking, theirs.make_customer())
    assert theirs.value(f"select count(*) from {target}") == 1


# What a whole row's pattern is found in, and no row is put in columns: a function is given it,
# it is a text, it goes where the new columns come by themselves, or it is another table's.
HARMLESS = [
    "insert into log (at, data) values (now(), jsonb_build_object('id', new.id, 'row', new.*));",
    "insert into log (at, data) values (now(), to_jsonb(coalesce(new.*, old.*)));",
    "insert into log (at, data) values (now(), difference(old.*, new.*));",
    "insert into log (at, data) select now(), jsonb_object_agg(r.id, r.*) from session_requests r;",
    "insert into log (at, data) values (now(), to_jsonb(md5(concat_ws('|', new.*))));",
    "raise debug 'insert into audit values (new.*)';",
    "insert into of_2026 values (new.*);",
    "if tg_table_name = 'mechanics' then insert into mechanics_audit select new.*; end if;",
    "execute 'insert into log select now(), to_jsonb(r.*) from only session_requests as r';",
]


def test_a_row_that_is_put_in_no_columns_is_no_fault(theirs: Database) -> None:
    theirs.sql(
        "create table log (at timestamptz, data jsonb); create table audit (like session_requests);"
        "create table mechanics_audit (like mechanics);"
        "create table of_2026 () inherits (session_requests);"
        "create function difference(before session_requests, after session_requests) returns jsonb"
        " language sql as 'select to_jsonb(after)'"
    )
    for number, body in enumerate(HARMLESS):
        theirs.sql(
            f"create function harmless_{number}() returns trigger language plpgsql"
            f" as $$ begin {body} return new; end $$;"
            f"create trigger harmless_{number} after insert on session_requests"
            f" for each row execute function harmless_{number}()"
        )
    install(theirs.dsn(), FEATURE)
    booking = "insert into session_requests (customer_id, session_type) values (%s, 'chat')"
    theirs.sql(booking, theirs.make_customer())
    assert theirs.value("select count(*) from log") == len(HARMLESS) - 3


def test_where_the_columns_are_listed_no_room_helps(theirs: Database) -> None:
    theirs.sql(
        "create table audit (like session_requests);"
        "create function keep_row() returns trigger language plpgsql as $$ begin"
        " insert into audit (id, customer_id) select new.*; return new; end $$;"
        "create trigger keep_row before insert on session_requests"
        " for each row execute function keep_row();"
        "alter table audit add preferred_mechanic_id uuid, add priority_window_minutes integer,"
        " add priority_notified_at timestamptz"
    )
    (line,) = refusal(theirs, FEATURE)
    assert line.startswith("trigger function public.keep_row() inserts whole rows of ")
    assert line.endswith(": name its columns, as those of audit")


@pytest.mark.parametrize(
    "body",
    [
        "execute format('insert into %I select ''U'', now(), $1.*', 'audit') using new;",
        "said := format('insert into %I select ''U'', now(), ($1).*', 'audit');"
        " execute said using new;",
        "execute format('insert into audit select ''U'', now(), (%L::%I.%I).*',"
        " new, tg_table_schema, tg_table_name);",
    ],
    ids=["at once", "in a variable", "as a text"],
)
def test_whole_rows_are_kept_in_columns_of_another_name(theirs: Database, body: str) -> None:
    """One of theirs was renamed since, or is kept as a text."""
    theirs.sql(
        "create table audit (operation text, stamp timestamptz, like session_requests);"
        "alter table audit rename session_type to kind;"
        "alter table audit alter status type text;"
        "create table narrow (like session_requests); alter table narrow drop column status;"
        "create function keep_row() returns trigger language plpgsql as $$"
        f" declare said text; begin {body} return new; end $$;"
        "create trigger keep_row after insert on session_requests"
        " for each row execute function keep_row()"
    )
    (line,) = refusal(theirs, FEATURE)
    theirs.sql(line.partition("or first ")[2])
    install(theirs.dsn(), FEATURE)
    booking = "insert into session_requests (customer_id, session_type) values (%s, 'chat')"
    theirs.sql(booking, theirs.make_customer())
    assert theirs.value("select count(*) from audit") == 1


def test_what_keeps_no_whole_rows_is_not_asked_to_change(theirs: Database) -> None:
    theirs.sql(
        "create table audit (like session_requests); create table figures (n bigint, of jsonb);"
        "create function keep() returns trigger language plpgsql as $$ begin"
        " -- insert into audit select * from rows_after;\n"
        " /* insert into audit select new.*; */"
        " insert into figures (n) select count(*) from session_requests;"
        " insert into figures (of) select to_jsonb(r.*) from session_requests as r;"
        " insert into figures select count(*), jsonb_agg(to_jsonb(r.*)) from rows_after as r;"
        " insert into figures (n) select d.* from rows_after as r cross join lateral"
        " (select 2 * length(r.session_type::text)) as d;"
        " return null; end $$;"
        "create trigger keep after insert on session_requests"
        " referencing new table as rows_after for each statement execute function keep()"
    )
    install(theirs.dsn(), FEATURE)


def test_a_trigger_that_keeps_whole_rows_goes_on_once_there_is_room(theirs: Database) -> None:
    theirs.sql(AUDIT)
    (line,) = refusal(theirs, FEATURE)
    theirs.sql(line.partition("or first ")[2])
    # As JSON they are three keys more, and nothing fails.
    theirs.sql(
        "create table kept (row jsonb);"
        "create function keep_json() returns trigger language plpgsql as $$ begin"
        " insert into kept values (to_jsonb(new.*)); return null; end $$;"
        "create trigger keep_json after insert on session_requests"
        " for each row execute function keep_json()"
    )
    install(theirs.dsn(), FEATURE)
    theirs.sql(
        "insert into session_requests (customer_id, session_type) values (%s, 'chat')",
        theirs.make_customer(),
    )
    (kept,) = theirs.sql("select operation, id, priority_notified_at from audit")
    assert (kept["operation"], kept["priority_notified_at"]) == ("U", None)
    install(theirs.dsn(), FEATURE)


# A migration of theirs after the install, what is said of it, and how it is taken back.
RENAMED = {
    "mechanics": (
        "alter table mechanics rename to technicians",
        "technicians is what public.mechanics was",
        "alter table technicians rename to mechanics",
    ),
    "another schema": (
        "create schema app; alter table session_requests set schema app",
        "app.session_requests is what public.session_requests was",
        "alter table app.session_requests set schema public; drop schema app",
    ),
    "a view": (
        "alter table session_requests rename to bookings;"
        " create view session_requests with (security_invoker = true) as select * from bookings",
        "bookings is what public.session_requests was",
        "drop view session_requests; alter table bookings rename to session_requests",
    ),
    "a copy": (
        "create table bookings (like session_requests including all);"
        " alter table session_requests rename to session_requests_old;"
        " alter table bookings rename to session_requests",
        "session_requests_old is what public.session_requests was",
        "drop table session_requests; alter table session_requests_old rename to session_requests",
    ),
}


@pytest.mark.parametrize("renamed", further_but(["another schema", "a view"], RENAMED))
def test_a_table_that_was_renamed_since(theirs: Database, renamed: tuple[str, str, str]) -> None:
    migration, said, back = renamed
    install(theirs.dsn(), FEATURE)
    theirs.sql("select dispatch.set_favorites_priority(true)")
    as_it_was = dump(theirs)
    theirs.sql(migration)
    before = dump(theirs)
    for file in (ENGINE, FEATURE, DOWN, ENGINE_DOWN):
        with pytest.raises(RuntimeError, match="and nothing was changed") as raised:
            install(theirs.dsn(), file)
        assert said in str(raised.value)
    assert dump(theirs) == before
    with pytest.raises(RuntimeError, match="verify failed: "):
        install(theirs.dsn(), VERIFY)
    (found,) = theirs.sql("select * from dispatch.health() where check_name = 'triggers_run'")
    assert not found["ok"], found

    theirs.sql(back)
    assert dump(theirs) == as_it_was
    install(theirs.dsn(), ENGINE, FEATURE, VERIFY)


def test_a_copy_that_took_a_table_s_place_for_good(theirs: Database) -> None:
    install(theirs.dsn(), FEATURE)
    theirs.sql(
        "create table bookings (like session_requests including all);"
        " alter table bookings enable row level security;"
        " drop table session_requests cascade;"
        " alter table bookings rename to session_requests;"
        " alter table session_requests add constraint session_requests_preferred_mechanic_id_fkey"
        " foreign key (preferred_mechanic_id) references mechanics (id) on delete set null"
    )
    install(theirs.dsn(), ENGINE, FEATURE, VERIFY)
    health = "select ok from dispatch.health() where check_name = 'triggers_run'"
    assert theirs.value(health)


def test_health_knows_a_trigger_that_does_not_run(theirs: Database) -> None:
    health = "select ok, detail from dispatch.health() where check_name = 'triggers_run'"
    assert theirs.sql(health)[0]["ok"]
    install(theirs.dsn(), FEATURE)
    assert theirs.sql(health)[0]["ok"]
    theirs.sql("alter table session_requests disable trigger user")
    theirs.sql("alter table mechanics disable trigger mechanics_release_windows")
    (found,) = theirs.sql(health)
    assert not found["ok"]
    assert "zzz_dispatch_open_window" in found["detail"]
    assert "mechanics_release_windows" in found["detail"]
    theirs.sql("alter table session_requests enable trigger user")
    theirs.sql("alter table mechanics enable always trigger mechanics_release_windows")
    assert theirs.sql(health)[0]["ok"]


def test_a_function_that_returns_whole_rows_goes_on(theirs: Database) -> None:
    for body in (
        "begin atomic select r from session_requests as r; end",
        "as $$ select * from public.session_requests $$",
    ):
        theirs.sql(
            f"create or replace function all_of_them() returns setof session_requests"
            f" language sql stable {body}"
        )
        install(theirs.dsn(), FEATURE)
        assert theirs.sql("select * from all_of_them()") == []
        install(theirs.dsn(), DOWN)


def test_tables_that_inherit_it_keep_what_was_theirs(theirs: Database) -> None:
    theirs.sql("create table archived (at timestamptz) inherits (session_requests)")
    theirs.sql("create table old (preferred_mechanic_id uuid) inherits (session_requests)")
    before = dump(theirs)
    install(theirs.dsn(), FEATURE)
    theirs.sql("insert into old (customer_id, session_type) values (gen_random_uuid(), 'chat')")
    install(theirs.dsn(), DOWN)
    assert dump(theirs) == before


def test_the_feature_without_the_engine_is_refused(garage: Database) -> None:
    assert refusal(garage, FEATURE) == [
        "the engine is not installed: run sql/engine/up.sql, or push its migration"
    ]


def test_the_feature_on_an_engine_of_before_is_refused(theirs: Database) -> None:
    theirs.sql("drop function dispatch.watched_columns()")
    assert refusal(theirs, FEATURE) == [
        "the engine is of an earlier version: run sql/engine/up.sql, or push its migration"
    ]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            "preferred_mechanic_id text",
            ["column session_requests.preferred_mechanic_id is text, not uuid: alter table"],
        ),
        (
            "preferred_mechanic_id uuid references auth.users (id)",
            [
                "column session_requests.preferred_mechanic_id points to auth.users, not to"
                " mechanics: alter table"
            ],
        ),
        (
            "preferred_mechanic_id uuid generated always as (parent_session_id) stored",
            ["column session_requests.preferred_mechanic_id is computed: alter table"],
        ),
        (
            "priority_window_minutes text, add priority_notified_at timestamp",
            [
                "column session_requests.priority_notified_at is timestamp without time zone, not"
                " timestamptz: alter table",
                "column session_requests.priority_window_minutes is text, not integer: alter table",
            ],
        ),
    ],
)
def test_columns_of_theirs_that_will_not_do_are_told(
    theirs: Database, columns: str, lines: list[str]
) -> None:
    theirs.sql(f"alter table session_requests add {columns}")
    found = refusal(theirs, FEATURE)
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


@pytest.mark.parametrize(
    "dropped",
    [
        "drop trigger mechanics_release_windows on mechanics",
        *(
            pytest.param(each, marks=pytest.mark.further)
            for each in (
                'drop trigger "00_dispatch_log_update" on session_requests',
                "drop policy dispatch_reserved on session_requests",
            )
        ),
    ],
)
def test_what_was_dropped_by_hand_keeps_nothing_else(
    garage: Database, binding: Path, dropped: str
) -> None:
    before = dump(garage)
    install_engine(garage, binding)
    install(garage.dsn(), FEATURE)
    garage.sql(dropped)
    install(garage.dsn(), DOWN, ENGINE_DOWN)
    assert dump(garage) == before


@pytest.mark.parametrize(
    "dropped", ["drop view dispatch.requests cascade", "drop function dispatch.sweep"]
)
def test_without_what_broadcasts_the_windows_nothing_is_taken_off(
    theirs: Database, dropped: str
) -> None:
    install(theirs.dsn(), FEATURE)
    theirs.sql("select dispatch.set_favorites_priority(true)")
    theirs.sql(dropped)
    with pytest.raises(RuntimeError, match="only in part") as raised:
        install(theirs.dsn(), DOWN)
    assert "run each up.sql first" in str(raised.value)
    assert theirs.value("select dispatch.favorites_priority_enabled()")
    install(theirs.dsn(), ENGINE, FEATURE, VERIFY, DOWN, ENGINE_DOWN)


OWN = {
    "a column": "alter table session_requests add preferred_mechanic_id uuid",
    "a column with its foreign key": (
        "alter table session_requests add preferred_mechanic_id uuid"
        " constraint theirs references mechanics (id) on delete cascade"
    ),
    "a column with a foreign key of our name": (
        "alter table session_requests add preferred_mechanic_id uuid references mechanics (id)"
    ),
    "all columns": (
        "alter table session_requests add preferred_mechanic_id uuid references mechanics (id),"
        " add priority_window_minutes integer, add priority_notified_at timestamptz;"
        " comment on column session_requests.priority_window_minutes is 'Minutes.'"
    ),
    "a column with a default": (
        "alter table session_requests add priority_window_minutes integer not null default 45"
    ),
    "an index": "create index session_requests_preferred_mechanic_idx on session_requests (id)",
    "both": (
        "alter table session_requests add priority_notified_at timestamptz;"
        " create index session_requests_priority_notified_idx on session_requests"
        " (priority_notified_at desc)"
    ),
}
VALUES = {
    "preferred_mechanic_id": "(select id from mechanics limit 1)",
    "priority_window_minutes": "7",
    "priority_notified_at": "'2026-03-14 12:00Z'",
}


def columns_of(db: Database) -> list[Row]:
    """What stands in all rows, as there are many."""
    return db.sql(
        "select count(*), md5(string_agg(to_jsonb(r)::text, ' ' order by id))"
        " from session_requests as r"
    )


@pytest.fixture
def of_their_own(
    cluster: Cluster, garages_with_history: str, request: pytest.FixtureRequest
) -> Iterator[Database]:
    with fresh_database(cluster, garages_with_history) as theirs:
        make_their_own(theirs, request.param)
        yield theirs


def make_their_own(theirs: Database, columns: str) -> None:
    theirs.sql(columns)
    there = theirs.sql(
        "select attname as name from pg_attribute where attrelid = 'session_requests'::regclass"
        " and attname = any(%s)",
        list(VALUES),
    )
    for column in there:
        theirs.sql(f"update session_requests set {column['name']} = {VALUES[column['name']]}")


@pytest.mark.parametrize(
    "of_their_own",
    further_but(["all columns"], OWN),
    indirect=True,
)
def test_what_was_theirs_stays_theirs(of_their_own: Database) -> None:
    db = of_their_own
    before, content, places = dump(db), columns_of(db), db.sql(ROWS)
    for _ in range(2):
        for _ in range(2):
            install(db.dsn(), FEATURE)
        command = ["psql", "-X", "-d", db.dsn(), "-f", "sql/favorites_priority/verify.sql"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert result.returncode == 0, result.stderr
        # Rows that name a favourite from before are none of ours, whichever way the flag stands.
        db.sql("select dispatch.set_favorites_priority(true)")
        assert db.sweep() == 0 and not db.sql("select from dispatch.windows")
        install(db.dsn(), DOWN)  # which loses nothing, and so asks nothing
        assert dump(db) == before
        assert columns_of(db) == content
        assert db.sql(ROWS) == places
    install(db.dsn(), ENGINE_DOWN)
    assert columns_of(db) == content


FILLED = """
create domain place as text not null default 'Ulm';
create type "Land" as enum ('CA', 'DE');
alter table session_requests
add notes varchar(20) not null default 'it''s none',
alter customer_city type place using 'x',
alter customer_country type "Land" using null,
alter customer_country set default 'DE',
alter customer_country set not null,
add priority_window_minutes integer not null default 45;
insert into service_plans (slug, name, price, duration_minutes, description)
values ('chat10', 'Chat', 9.99, 10, ''), ('free', 'Free', 0, 10, '')
"""


def test_a_booking_fills_what_may_not_be_null_as_theirs_do(garage: Database) -> None:
    """By the default of each column."""
    db = garage
    db.sql(FILLED)
    install_on_theirs(db.dsn())
    install(db.dsn(), VERIFY)
    db.sql("select dispatch.set_favorites_priority(true)")
    customer, mechanic = db.make_customer(), db.make_customer()
    favourite = db.value(
        "insert into mechanics (user_id, application_status) values (%s, 'approved') returning id",
        mechanic,
    )
    backend = db.connect(role="service_role")

    def pay(**metadata: str) -> Row:
        event = checkout(customer, plan="chat10", **metadata)
        answer = rpc(backend, "process_stripe_event", event=event)
        assert answer["outcome"] == "request_created", db.sql(
            "select * from dispatch.stripe_events"
        )
        return db.request(answer["request_id"])

    row = pay()
    assert (row["notes"], row["customer_city"], row["customer_country"]) == (
        "it's none", "Ulm", "DE",
    )  # fmt: skip
    assert row["priority_window_minutes"] == 45 and not row["preferred_mechanic_id"]
    # A word that their type has not is not known.
    assert [pay(customer_country=country)["customer_country"] for country in ("CA", "FR")] == [
        "CA", "DE",
    ]  # fmt: skip
    row = rpc(db.connect(customer), "request_free_session", plan_code="free")
    assert row["customer_city"] == "Ulm"
    row = pay(
        routing_type="priority_broadcast",
        preferred_mechanic_id=str(favourite),
        priority_window_minutes="5",
    )
    assert row["priority_window_minutes"] == 5
    # Nor does it fail where the window is ended by what says that there is one.
    rows(
        backend, "update session_requests set priority_notified_at = null where id = %s", row["id"]
    )
    db.sweep()
    assert db.log(row["id"]) == ["priority_request", "new_request:window_ended"]

    # Of a column that became one since verify says so.
    db.sql("alter table session_requests alter requested_brand set default 'any'")
    db.sql("update session_requests set requested_brand = 'any'")
    db.sql("alter table session_requests alter requested_brand set not null")
    with pytest.raises(RuntimeError, match="verify failed: columns that a booking fills\n"):
        install(db.dsn(), VERIFY)
    install(db.dsn(), ENGINE, VERIFY)
    assert pay()["requested_brand"] == "any"


NARROW = """
create table brands (name text collate "C" primary key);
insert into brands values ('Audi');
alter table session_requests
add notes varchar(5),
add constraint served check (customer_country <> 'XX'),
alter requested_brand type text collate "C",
add constraint known foreign key (requested_brand) references brands;
insert into service_plans (slug, name, price, duration_minutes, description)
values ('chat10', 'Chat', 9.99, 10, ''), ('free', 'Free', 0, 10, '')
"""
TAKEN: Row = {"notes": "brake", "requested_brand": "Audi", "customer_country": "DE"}
REFUSED: Row = {"notes": "brakes", "requested_brand": "Lada", "customer_country": "XX"}


@pytest.mark.parametrize(
    "words",
    further_but(["notes", "all"], {each: [each] for each in REFUSED} | {"all": [*REFUSED]}),
)
def test_what_a_column_refuses_loses_no_paid_booking(garage: Database, words: list[str]) -> None:
    """As little as may be is left out; the owner is told."""
    db = garage
    db.sql(NARROW)
    install_on_theirs(db.dsn())
    customer = db.make_customer()
    backend = db.connect(role="service_role")
    said = TAKEN | {name: REFUSED[name] for name in words}
    event = checkout(customer, plan="chat10", **said)
    event["data"]["object"] |= {"amount_total": 999, "currency": "usd"}
    answer = rpc(backend, "process_stripe_event", event=event)
    assert answer["outcome"] == "request_created"
    row = db.request(answer["request_id"])
    kept = {} if len(words) > 1 else {n: v for n, v in TAKEN.items() if n not in words}
    assert {name: row[name] for name in TAKEN} == dict.fromkeys(TAKEN) | kept
    error = db.value("select error from dispatch.stripe_events")
    left_out = error[error.index("left_out: ") + 10 : error.index(", refused by the marketplace (")]
    assert set(words) <= set(left_out.split(", "))
    assert (left_out in words) == (len(words) == 1)
    check = "select ok from dispatch.payment_checks() where check_name = 'bookings_whole'"
    assert db.value(check) is False
    if "notes" in words:
        # Whose account is gone nobody writes anything for.
        db.sql("delete from auth.users where id = %s", customer)
        assert db.value("select dispatch.scrub_stripe_events(interval '1 day')") == 1
        assert "left_out" not in (db.value("select error from dispatch.stripe_events") or "")
    else:
        db.sql("update dispatch.stripe_events set error = null")
    assert db.value(check) is True


def test_a_free_booking_is_not_left_out_of_without_a_word(garage: Database) -> None:
    """The customer can write other notes; of a name that is too long they cannot."""
    db = garage
    db.sql(NARROW)
    db.sql("alter table session_requests add constraint short check (length(customer_name) < 5)")
    install_on_theirs(db.dsn())
    customer = db.make_customer()
    client = db.connect(customer, user_metadata={"full_name": "Carla Customer"})
    row = rpc(client, "request_free_session", plan_code="free", notes="brake")
    assert (row["notes"], row["customer_name"]) == ("brake", None)
    with pytest.raises(psycopg.Error, match="booking_refused"):
        rpc(client, "request_free_session", plan_code="free", notes="brakes")


ONE_EACH = {
    "one each": "create unique index on session_requests (customer_email) where plan_code = 'free'",
    "not those": "alter table session_requests add check (customer_email not like '%@mail.%')",
    "by a trigger": """
        create function one_each() returns trigger language plpgsql as
        $$begin
        if exists (select from session_requests where customer_email = new.customer_email) then
            raise exception 'one each';
        end if;
        return new;
        end$$;
        create trigger one_each before insert on session_requests
        for each row execute function one_each()
    """,
}


@pytest.mark.parametrize("rule", ONE_EACH.values(), ids=ONE_EACH)
def test_a_rule_of_theirs_about_who_books_is_not_gone_round(garage: Database, rule: str) -> None:
    """By leaving out the e-mail that it goes by: what is free is free once."""
    db = garage
    db.sql(NARROW)
    db.sql(rule)
    install_on_theirs(db.dsn())
    for number in range(2):
        client = db.connect(db.make_customer(), email="carla@mail.example")
        if number == 0 and "check" not in rule:
            rpc(client, "request_free_session", plan_code="free")
            continue
        with pytest.raises(psycopg.Error, match="booking_refused"):
            rpc(client, "request_free_session", plan_code="free")


@pytest.mark.parametrize(
    ("rule", "code"), [("one each", "23505"), ("by a trigger", "P0001")], ids=["unique", "trigger"]
)
def test_what_is_no_column_s_to_refuse_is_left_out_of_no_booking(
    garage: Database, rule: str, code: str
) -> None:
    """But a rule about two requests, or a trigger's: for the owner to decide."""
    db = garage
    db.sql(NARROW)
    db.sql(ONE_EACH[rule].replace(" where plan_code = 'free'", ""))
    install_on_theirs(db.dsn())
    backend = db.connect(role="service_role")
    outcomes = []
    for _ in range(2):
        event = checkout(db.make_customer(), plan="chat10")
        event["data"]["object"]["customer_details"] = {"email": "carla@mail.example"}
        outcomes.append(rpc(backend, "process_stripe_event", event=event)["outcome"])
    assert outcomes == ["request_created", "error"]
    assert code in db.value("select error from dispatch.stripe_events where processed_at is null")


def test_what_is_refused_at_the_commit_is_left_out_too(garage: Database) -> None:
    db = garage
    db.sql(NARROW)
    db.sql("""
        create table countries (code text primary key);
        insert into countries values ('DE');
        alter table session_requests add constraint country_fk foreign key (customer_country)
        references countries (code) deferrable initially deferred;
    """)
    install_on_theirs(db.dsn())
    backend = db.connect(role="service_role")
    event = checkout(db.make_customer(), plan="chat10", customer_country="FR", notes="brake")
    answer = rpc(backend, "process_stripe_event", event=event)
    assert answer["outcome"] == "request_created"
    row = db.request(answer["request_id"])
    assert (row["customer_country"], row["notes"]) == (None, "brake")


def test_a_refusal_that_takes_long_is_in_the_ledger(garage: Database) -> None:
    """The webhook app waits five seconds: without all those tries the event would be nowhere."""
    db = garage
    db.sql("""
        create function slow() returns trigger language plpgsql as
        $$begin perform pg_sleep(1); raise check_violation; end$$;
        create trigger slow before insert on session_requests
        for each row execute function slow();
        insert into service_plans (slug, name, price, duration_minutes, description)
        values ('chat10', 'Chat', 9.99, 10, '')
    """)
    install_on_theirs(db.dsn())
    event = checkout(db.make_customer(), plan="chat10", **{**TAKEN, "customer_city": "Kiel"})
    event["data"]["object"]["customer_details"] = {"name": "Carla", "email": "c@mail.example"}
    backend = db.connect(role="service_role")
    backend.execute("set statement_timeout = '5s'")
    assert rpc(backend, "process_stripe_event", event=event)["outcome"] == "error"


def test_what_is_left_out_is_in_no_log_in_their_words(garage: Database) -> None:
    """A trigger of theirs may have the customer's name in them."""
    db = garage
    db.sql(NARROW)
    db.sql("""
        create function no_quills() returns trigger language plpgsql as
        $$begin
        if new.customer_name is not null then
            raise check_violation using message = new.customer_name || ' owes us';
        end if;
        return new;
        end$$;
        create trigger no_quills before insert on session_requests
        for each row execute function no_quills();
    """)
    install_on_theirs(db.dsn())
    backend = db.connect(role="service_role")
    logged: list[str] = []
    backend.add_notice_handler(lambda notice: logged.append(str(notice.message_primary)))
    backend.execute("set client_min_messages = log")
    event = checkout(db.make_customer(), plan="chat10")
    event["data"]["object"]["customer_details"] = {"name": "Zoe Quill"}
    assert rpc(backend, "process_stripe_event", event=event)["outcome"] == "request_created"
    assert "left out {customer_name}, refused with 23514" in " ".join(logged)
    assert "Quill" not in " ".join(logged)
    assert "Quill owes us" in db.value("select error from dispatch.stripe_events")


@pytest.mark.further
def test_a_profile_of_theirs_costs_no_more_than_its_first_words(garage: Database) -> None:
    """Whom a push goes to is asked of each: with this much in a few profiles it took 8 s."""
    db = garage
    db.sql(NARROW)
    install_on_theirs(db.dsn())
    db.sql("select dispatch.set_favorites_priority(true)")
    profile = (
        "insert into mechanics"
        " (user_id, name, application_status, city, country, brand_specializations)"
        " values (%s, 'M', 'approved', {}, repeat('x', 10000000), {} || repeat('x', 20000000))"
        " returning id"
    )
    favourite = str(db.value(profile.format("'Kiel'", "array['aUDI']"), db.make_customer()))
    for _ in range(7):
        db.sql(profile.format("repeat('x', 10000000)", "'{}'::text[]"), db.make_customer())
    event = checkout(
        db.make_customer(), favourite, plan="chat10", customer_city="Kiel", requested_brand="Audi"
    )
    request = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    db.sql("set statement_timeout = '4s'")
    found = db.sql(
        "select * from dispatch.choose_recipients(%s, null, now() + interval '11 minutes')",
        request["request_id"],
    )
    assert [row["reasons"] for row in found] == [["Works on Audi", "Same city"], *[[]] * 7]


@pytest.mark.further
def test_a_request_of_theirs_costs_no_more_than_its_first_words(garage: Database) -> None:
    """With this much in a few requests a sweep took 3 s."""
    db = garage
    install_on_theirs(db.dsn())
    db.sql("select dispatch.set_favorites_priority(true)")
    favourite = db.value(
        "insert into mechanics (user_id, name, application_status) values (%s, 'M', 'approved')"
        " returning id",
        db.make_customer(),
    )
    book = BOOK.format(
        "preferred_mechanic_id, requested_brand, customer_city, customer_country",
        "%s, repeat('x', 10000000), repeat('y', 10000000), repeat('z', 10000000)",
    )
    requests = [db.sql(book, db.make_customer(), favourite)[0]["id"] for _ in range(20)]
    db.sql(
        "update session_requests set session_type = repeat('s', 10000000),"
        " plan_code = repeat('p', 10000000)"
    )
    db.sql("set statement_timeout = '1s'")
    db.sql("select dispatch.set_favorites_priority(false)")
    for request in requests:
        assert db.log(request) == ["priority_request", "new_request:flag_off"]


def test_an_approval_that_their_table_computes(garage: Database) -> None:
    db = garage
    db.sql(
        "alter table mechanics drop application_status cascade, drop can_accept_sessions,"
        " add approved_at timestamptz,"
        " add approved boolean generated always as (approved_at is not null) stored"
    )
    install_on_theirs(db.dsn())
    install(db.dsn(), VERIFY)
    assert db.value("select dispatch.approval_columns() = '{approved}'")
    db.sql("select dispatch.set_favorites_priority(true)")
    mechanic = db.value(
        "insert into mechanics (user_id, approved_at) values (%s, now()) returning id",
        db.make_customer(),
    )
    (row,) = db.sql(BOOK.format("preferred_mechanic_id", "%s"), db.make_customer(), mechanic)
    db.sql("update mechanics set approved_at = null")
    assert db.log(row["id"]) == ["priority_request", "new_request:mechanic_gone"]


@pytest.mark.parametrize("kind", ["stored", "virtual"])
def test_what_their_table_computes_of_a_request(garage: Database, kind: str) -> None:
    """A trigger is not given it: before a write what is stored, at no time what is not."""
    db = garage
    if kind == "virtual" and db.owner.info.server_version < 180000:
        pytest.skip("there are none before PostgreSQL 18")
    db.sql(
        "alter table session_requests add withdrawn_by uuid,"
        f" add is_deleted boolean generated always as (withdrawn_by is not null) {kind}"
    )
    install_on_theirs(db.dsn())
    install(db.dsn(), VERIFY)
    assert db.value("select dispatch.taken_off()") == "r.is_deleted is true"
    db.sql("select dispatch.set_favorites_priority(true)")
    customer = db.make_customer()
    mechanic = db.value(
        "insert into mechanics (user_id, application_status) values (%s, 'approved') returning id",
        db.make_customer(),
    )
    (row,) = db.sql(BOOK.format("preferred_mechanic_id", "%s"), customer, mechanic)
    db.sql("update session_requests set withdrawn_by = customer_id")
    assert db.log(row["id"]) == ["priority_request", "request_cancelled:cancelled"]
    (row,) = db.sql(
        BOOK.format("preferred_mechanic_id, withdrawn_by", "%s, %s"), customer, mechanic, customer
    )
    assert not row["priority_notified_at"] and not db.log(row["id"])
    # What it computes may be another thing some day.
    db.sql("drop view open_session_requests; alter table session_requests rename withdrawn_by to w")
    with pytest.raises(RuntimeError, match="verify failed: columns of session_requests"):
        install(db.dsn(), VERIFY)
    install(db.dsn(), ENGINE, VERIFY)
    (row,) = db.sql(BOOK.format("preferred_mechanic_id", "%s"), customer, mechanic)
    assert db.log(row["id"]) == ["priority_request"]


BOOK = """
insert into session_requests (customer_id, session_type, {0}) values (%s, 'chat', {1})
returning preferred_mechanic_id, priority_window_minutes, priority_notified_at, id
"""
COLUMNS_OF_THEIRS = OWN["all columns"].replace("integer,", "integer default 45,")


@pytest.mark.parametrize(
    ("enabled", "status"), [(False, "approved"), (True, "rejected"), (False, "rejected")]
)
@pytest.mark.parametrize("of_their_own", [COLUMNS_OF_THEIRS], ids=[""], indirect=True)
def test_where_no_window_opens_their_columns_take_what_they_write(
    of_their_own: Database, enabled: bool, status: str
) -> None:
    db = of_their_own
    db.sql("update mechanics set application_status = %s", status)
    mechanic = db.value("select id from mechanics")
    customer, began = db.make_customer(), "'2026-03-14 12:00Z'"

    def book() -> list[list[object]]:
        return [
            list(db.sql(BOOK.format(columns, values), customer, *given)[0].values())[:3]
            for columns, values, *given in (
                ("status", "'pending'"),
                ("preferred_mechanic_id", "%s", mechanic),
                ("preferred_mechanic_id, priority_window_minutes", "%s, 99", mechanic),
                ("priority_window_minutes, priority_notified_at", f"null, {began}"),
                ("preferred_mechanic_id, priority_notified_at", f"%s, {began}", mechanic),
            )
        ]

    before = book()
    assert before[0][1] == 45
    install(db.dsn(), FEATURE)
    db.sql("select dispatch.set_favorites_priority(%s)", enabled)
    assert book() == before
    assert not db.sql("select from dispatch.windows")
    assert set(db.log()) == ({"priority_skipped:not_approved"} if enabled else set())


@pytest.mark.parametrize("of_their_own", [COLUMNS_OF_THEIRS], ids=[""], indirect=True)
def test_a_window_opens_by_their_columns_too(of_their_own: Database) -> None:
    db = of_their_own
    install(db.dsn(), FEATURE)
    db.sql("select dispatch.set_favorites_priority(true)")
    mechanic, customer = db.value("select id from mechanics"), db.make_customer()
    (row,) = db.sql(BOOK.format("preferred_mechanic_id", "%s"), customer, mechanic)
    assert row["priority_window_minutes"] == 45 and row["priority_notified_at"]
    assert db.log(row["id"]) == ["priority_request"]
    (row,) = db.sql(BOOK.format("status", "'pending'"), customer)
    assert row["priority_window_minutes"] == 45 and not db.log(row["id"])


@pytest.mark.parametrize("of_their_own", [COLUMNS_OF_THEIRS], ids=[""], indirect=True)
def test_a_copy_of_the_schema_alone_knows_what_was_theirs(of_their_own: Database) -> None:
    db = of_their_own
    before = dump(db)
    install(db.dsn(), FEATURE)
    db.sql("delete from dispatch.found_before")
    with pytest.raises(RuntimeError, match="verify failed: what was here before\n"):
        install(db.dsn(), VERIFY)
    install(db.dsn(), FEATURE, VERIFY)
    db.sql("delete from dispatch.found_before")
    install(db.dsn(), DOWN)
    assert dump(db) == before


def test_a_dump_of_public_alone_brings_no_columns_of_theirs(
    theirs: Database, empty_db: Database, tmp_path: Path
) -> None:
    """They are the feature's, of the install that the dump is of."""
    install(theirs.dsn(), FEATURE)
    file = str(tmp_path / "dump")
    command = [binary("pg_dump"), "-Fc", "-n", "public", "-f", file, "-d", theirs.dsn(SUPERUSER)]
    subprocess.run(command, check=True)
    empty_db.superuser().execute("drop schema public")
    # What the functions call is not there, and so are not the policy and the triggers.
    command = [binary("pg_restore"), "-d", empty_db.dsn(SUPERUSER), file]
    assert subprocess.run(command, capture_output=True).returncode == 1
    install_on_theirs(empty_db.dsn())
    install(empty_db.dsn(), VERIFY)
    install(theirs.dsn(), DOWN, ENGINE_DOWN)
    install(empty_db.dsn(), DOWN, ENGINE_DOWN)
    columns = (
        "select attname from pg_attribute where attrelid = 'session_requests'::regclass"
        " and not attisdropped"
        " union all select relname from pg_class where relname ~ 'priority|preferred'"
    )
    assert empty_db.sql(columns) == theirs.sql(columns)


def test_a_column_that_came_after_up_is_not_taken_for_theirs(theirs: Database) -> None:
    """Found once: an up.sql that was stopped and is run again finds its own columns."""
    before = dump(theirs)
    for _ in range(2):
        install(theirs.dsn(), FEATURE)
    assert rows(theirs.owner, "select what from dispatch.found_before") == [
        {"what": "noted by up.sql"}
    ]
    install(theirs.dsn(), DOWN)
    assert dump(theirs) == before
