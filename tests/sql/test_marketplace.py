"""Installing on a marketplace that was there first: what it has stays, what it lacks is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stack import ROOT
from stack.install import DOWN, FEATURE, ENGINE, install
from stack.postgres import Cluster, run_psql
from tests.database import Database, dump, eventually, fresh_database, rows, rpc

MARKETPLACE = """
create type public.session_type as enum ('diagnostic', 'chat', 'video', 'in_person');
create type public.session_request_status as enum (
    'draft', 'pending', 'accepted', 'cancelled', 'expired', 'completed'
);
create table public.mechanics (
    id uuid primary key references auth.users (id), display_name text not null, status text,
    is_online boolean, brands text[], country text, city text,
    created_at timestamptz default now(), updated_at timestamptz default now(),
    rating numeric(3, 2)
);
create table public.customer_favorites (
    customer_id uuid references auth.users (id), mechanic_id uuid references public.mechanics (id),
    created_at timestamptz default now(), primary key (mechanic_id, customer_id)
);
create table public.service_plans (
    code text primary key, title text, session_type public.session_type, price_cents integer,
    currency text default 'eur', is_active boolean default true
);
insert into public.service_plans values ('quick-chat', 'Plausch', 'chat', 1500);
create table public.session_requests (
    id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
    updated_at timestamptz, customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid references auth.users (id), session_type public.session_type not null,
    plan_code text, status public.session_request_status not null default 'pending',
    customer_name text, customer_email text, notes text, accepted_at timestamptz,
    notification_sent_at timestamptz, metadata jsonb not null default '{}', odometer_km integer,
    source text not null default 'web'
);
alter table public.session_requests
add column is_urgent boolean default false, add column request_type text,
add column requested_brand text, add column extracted_keywords text[],
add column customer_country text, add column customer_city text, add column expires_at timestamptz,
add column is_follow_up boolean, add column preferred_workshop_id uuid;
create index their_idx on public.session_requests (odometer_km);
alter table public.mechanics enable row level security;
alter table public.session_requests enable row level security;
create policy their_mechanics on public.mechanics using (true);
create policy "Their requests" on public.session_requests for select to authenticated
using (status <> 'draft');
grant select on public.mechanics, public.session_requests to anon, authenticated;
grant all on public.session_requests to service_role;
create table public.their_log (request_id uuid, at timestamptz default clock_timestamp());
create function public.their_trigger() returns trigger language plpgsql security definer as $$
begin insert into public.their_log values (new.id); return new; end $$;
create trigger their_trigger after insert on public.session_requests
for each row execute function public.their_trigger();
"""
HISTORY = """
insert into auth.users (email) values ('old@mail.example');
insert into public.session_requests (customer_id, session_type, status, metadata)
select
    u.id, 'chat',
    (array['pending', 'accepted', 'completed'])[1 + n % 3]::public.session_request_status,
    jsonb_build_object('stripe_checkout_session_id', 'cs_' || n)
from auth.users as u, generate_series(1, 100000) as n;
"""
TRAITS = """
select c.relname, c.relfilenode, c.relrowsecurity, c.relacl::text, c.reloptions,
    (select jsonb_agg(to_jsonb(p) order by p.oid) from pg_policy as p where p.polrelid = c.oid)
from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1
"""
# Where each row is, and who wrote it last.
ROWS = "select sum(hashtextextended(ctid::text || xmin::text, 0)) from public.session_requests"
INDEXES = {
    ENGINE: "sql/platform/indexes.sql",
    FEATURE: "sql/favorites_priority/indexes.sql",
}


@pytest.fixture
def theirs(empty_db: Database) -> Database:
    empty_db.sql(MARKETPLACE)
    return empty_db


def test_nothing_of_theirs_changes(theirs: Database) -> None:
    db = theirs
    db.superuser().execute(f"set session_replication_role = replica; {HISTORY}".encode())
    traits, content, before = db.sql(TRAITS), db.sql(ROWS), dump(db)
    install(db.dsn(), ENGINE)
    platform = dump(db)
    for _ in range(2):
        install(db.dsn(), FEATURE)
        assert db.sql(TRAITS) == traits
        assert db.sql(ROWS) == content
    # The last column is followed by a comma now.
    missing = {line.rstrip(",") for line in before.splitlines()} - {
        line.rstrip(",") for line in dump(db).splitlines()
    }
    assert not missing

    db.sql("select dispatch.set_favorites_priority(true)")
    mechanic, other = db.make_mechanic(), db.make_mechanic()
    request = db.make_request(preferred=mechanic, connection=db.connect(role="service_role"))
    assert db.log(request) == ["priority_request"]
    assert db.sql("select request_id::text from their_log where request_id = %s", request)
    assert rpc(db.connect(mechanic), "accept_session_request", request_id=request)
    assert rows(
        db.connect(other), "select id from public.session_requests where status = 'pending'"
    )

    install(db.dsn(), DOWN)
    assert dump(db) == platform
    assert db.sql(TRAITS) == traits


def test_the_migrations_install_the_same(theirs: Database, cluster: Cluster) -> None:
    install(theirs.dsn())
    with fresh_database(cluster, "template1") as copy:
        copy.sql(MARKETPLACE)
        for path in sorted((ROOT / "supabase/migrations").glob("*.sql")):
            run_psql(copy.dsn(), "-1", "-f", str(path))
        assert dump(copy) == dump(theirs)


@pytest.mark.parametrize("file", [ENGINE, FEATURE])
def test_they_go_on_writing_while_indexes_are_built(theirs: Database, file: str) -> None:
    db, writer = theirs, theirs.open()
    install(db.dsn())
    db.sql("drop index session_requests_open_idx, session_requests_priority_deadline_idx")
    waiting = """
        select count(*) from pg_stat_activity
        where wait_event = 'virtualxid' and query like '%index concurrently%'
        and datname = current_database()
    """
    with ThreadPoolExecutor() as pool:
        with writer.transaction():
            # The new index waits for this transaction; nobody waits for the index.
            db.make_request(connection=writer)
            running = pool.submit(lambda: run_psql(db.dsn(), "-f", str(ROOT / INDEXES[file])))
            eventually(lambda: db.value(waiting) or running.done())
            assert not running.done()
            db.make_request()
        running.result()


# What is wrong, and what is said of it.
FAULTS = {
    "alter table mechanics drop column status": (
        "column mechanics.status is missing: alter table public.mechanics add column status text"
    ),
    "alter table session_requests alter metadata drop default, alter metadata type text": (
        "column session_requests.metadata is text, not jsonb: alter table"
    ),
    "alter table session_requests alter notification_sent_at set not null": (
        "column session_requests.notification_sent_at is not null: alter table"
    ),
    "alter table session_requests alter id drop default": (
        "column session_requests.id has no default: alter table"
    ),
    "alter table session_requests add vin text not null": (
        "column session_requests.vin has no default: alter table"
    ),
    "alter type session_request_status rename value 'expired' to 'gone'": (
        "type public.session_request_status has no value expired: alter type"
    ),
    "alter table service_plans drop constraint service_plans_pkey": (
        "table service_plans has no unique key (code): alter table"
    ),
    "alter table service_plans rename to plans; create view service_plans as table plans": (
        "service_plans is not an ordinary table: rename it"
    ),
    "create function set_presence(status text) returns int language sql as 'select 1'": (
        "function set_presence(text) is the marketplace's own: rename it"
    ),
    "alter trigger their_trigger on session_requests rename to session_requests_guard": (
        "trigger session_requests_guard is the marketplace's own: alter trigger"
    ),
    "create schema dispatch; create table dispatch.vans ()": (
        "schema dispatch is somebody else's: rename it"
    ),
    "insert into auth.users (email) values ('x@mail.example'); insert into session_requests"
    " (customer_id, session_type, metadata) select id, 'chat',"
    """ '{"stripe_checkout_session_id": "cs_1"}' from auth.users, generate_series(1, 2)""": (
        "2 session_requests have the stripe_checkout_session_id cs_1: one Checkout Session"
    ),
}


def refusal(database: Database, file: str) -> list[str]:
    """The lines of the refusal, with which nothing has changed."""
    before = dump(database)
    with pytest.raises(RuntimeError, match="is not ready, and nothing was changed") as raised:
        install(database.dsn(), file)
    assert dump(database) == before
    return [line[2:] for line in str(raised.value).splitlines() if line.startswith("- ")]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_lack_is_told(theirs: Database, fault: str) -> None:
    theirs.sql(fault)
    (line,) = refusal(theirs, ENGINE)
    assert line.startswith(FAULTS[fault])


def test_all_that_is_lacking_is_told_at_once(theirs: Database) -> None:
    # A row or a view excludes another fault.
    alone = ("insert into", "create view")
    faults = {
        fault: line for fault, line in FAULTS.items() if not any(each in fault for each in alone)
    }
    for fault in faults:
        theirs.sql(fault)
    lines = refusal(theirs, ENGINE)
    assert len(lines) == len(faults)
    assert all(any(line.startswith(each) for line in lines) for each in faults.values())


def test_an_index_that_was_interrupted_is_told(theirs: Database) -> None:
    install(theirs.dsn(), ENGINE)
    theirs.superuser().execute(
        "update pg_index set indisvalid = false where indexrelid = 'their_idx'::regclass"
    )
    for file in (ENGINE, FEATURE):
        assert refusal(theirs, file) == [
            "index their_idx is invalid: drop index concurrently their_idx"
        ]


@pytest.mark.parametrize(
    ("column", "lines"),
    [
        (
            "preferred_mechanic_id text",
            ["column session_requests.preferred_mechanic_id is text, not uuid: alter table"],
        ),
        (
            "preferred_mechanic_id uuid",
            ["column session_requests.preferred_mechanic_id is the marketplace's own: alter table"],
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
def test_columns_of_theirs_with_the_features_names_are_told(
    theirs: Database, column: str, lines: list[str]
) -> None:
    install(theirs.dsn(), ENGINE)
    theirs.sql(f"alter table session_requests add {column}")
    told = refusal(theirs, FEATURE)
    assert len(told) == len(lines)
    assert all(line.startswith(start) for line, start in zip(told, lines, strict=True))


def test_the_feature_without_the_platform_is_refused(theirs: Database) -> None:
    assert refusal(theirs, FEATURE) == [
        "the platform is not installed: run sql/platform/up.sql, or push its migration"
    ]
