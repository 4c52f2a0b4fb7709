"""Two databases of one marketplace: ours is installed on one of them, and no statement can tell."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from hypothesis import strategies as st

from stack import ROOT
from stack.install import MARKETPLACE, install, install_on_theirs
from stack.postgres import Cluster
from tests.database import Database, fresh_database

# Who there is: two customers, three mechanics, of whom Wes is not approved, and a stranger.
CARLA, CARL, FRANK, MONA, WES, SAM = USERS = [
    f"a0000000-0000-4000-8000-00000000000{n}" for n in range(1, 7)
]
MECHANICS = [FRANK, MONA, WES]
OWN_IDS = [f"b0000000-0000-4000-8000-00000000000{n}" for n in range(3, 6)]
REQUESTS = [f"d0000000-0000-4000-8000-00000000000{n}" for n in range(1, 6)]
# Most often one that is there is meant, and one that is not is inserted.
THERE, NEW = REQUESTS[:3] * 3 + REQUESTS[3:], REQUESTS[3:] * 4 + REQUESTS[:3]
UNKNOWN = "e0000000-0000-4000-8000-000000000009"
KNOWN = {*USERS, *OWN_IDS, *REQUESTS, UNKNOWN}
# The feature's columns: "select *" shows them, and nothing else that was there before.
COLUMNS = {"preferred_mechanic_id", "priority_window_minutes", "priority_notified_at"}
# What pg_cron runs, or somebody by hand.
CRON = "cron"
JOBS = [
    "select dispatch.sweep()",
    "select dispatch.sweep(10, 'infinity')",
    "select dispatch.sweep_round(now())",
    "select dispatch.mark_silent_mechanics_offline()",
    "select dispatch.deliver_events(100)",
    "select dispatch.prune_events('0 days') + dispatch.prune_windows('0 days')",
]
# What the marketplaces have beside: triggers of their own, which write down each change and tell
# their backend of it, functions of their backend's, and open Realtime channels.
MORE = """
create table public.audit_trail (
    n bigint generated always as identity, what text, request_id uuid, was text, became text,
    depth integer
);
grant select on public.audit_trail to service_role;
create function public.audit() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid := case tg_op when 'DELETE' then old.id else new.id end;
begin
    insert into public.audit_trail (what, request_id, was, became, depth)
    values (
        tg_op, v_id,
        case when tg_op <> 'INSERT' then old.status end,
        case when tg_op <> 'DELETE' then new.status end, pg_trigger_depth()
    );
    perform pg_notify('backend', concat_ws(' ', tg_op, pg_trigger_depth()));
    return null;
end;
$$;
create trigger audit after insert or update or delete on public.session_requests
for each row execute function public.audit();
create trigger zzzz_audit after update of status on public.session_requests
for each row when (old.status is distinct from new.status) execute function public.audit();

create function public.take_request(p_id uuid, p_mechanic uuid) returns public.session_requests
language plpgsql as $$
declare
    v_request public.session_requests;
begin
    select * into v_request from public.session_requests where id = p_id for update;
    if v_request.status <> 'pending' then
        raise exception 'it is %', v_request.status using errcode = 'P0409', hint = 'too late';
    end if;
    v_request.mechanic_id := p_mechanic;
    update public.session_requests as r set status = 'accepted', mechanic_id = v_request.mechanic_id
    where r.id = v_request.id returning * into v_request;
    return v_request;
end;
$$;
create function public.clean_up(p_customer uuid) returns integer
language plpgsql security definer as $$
declare
    v_count integer := 0;
    v_request record;
begin
    for v_request in select * from public.session_requests where customer_id = p_customer loop
        begin
            update public.session_requests set status = 'cancelled' where id = v_request.id;
            v_count := v_count + 1;
        exception when others then raise notice 'left out: %', sqlstate;
        end;
    end loop;
    return v_count;
end;
$$;
create policy all_may_listen on realtime.messages for select to authenticated using (true);
create policy all_may_send on realtime.messages for insert to authenticated with check (true);
"""


@dataclass(frozen=True)
class Shape:
    """A marketplace. Its values are literals of SQL, some of them wrong."""

    schema: str
    mechanics: str  # the rows of three mechanics
    plans: str  # two rows: the codes are one and two
    mechanic_ids: Sequence[str]
    assigned: Sequence[str]  # what session_requests.mechanic_id holds of each mechanic
    statuses: Sequence[str]
    kinds: Sequence[str]
    optional: dict[str, Sequence[str]]  # columns of session_requests beside
    profile: dict[str, Sequence[str]]  # columns of mechanics
    plan: dict[str, Sequence[str]]
    favorite: tuple[str, str, str]  # the table, its customer, its mechanic
    favorite_ids: Sequence[str]
    plan_table: str = "service_plans"
    enrol: str = ""  # an INSERT of a mechanic, who is or is not there
    also: Sequence[str] = ()  # what its triggers would have set in the three first requests
    calls: Sequence[str] = ()
    reads: Sequence[str] = ()


def text(*words: str) -> list[str]:
    return [f"'{word}'" for word in words]


def schema(name: str) -> str:
    return (ROOT / f"examples/marketplaces/{name}/schema.sql").read_text()


LONG_AGO, LATER = "'2020-03-01 10:00Z'", "'2099-03-01 10:00Z'"
TIMES = ["default", "now()", "now() - interval '20 minutes'", LONG_AGO, "'2021-01-01Z'", LATER]
MAYBE = [*TIMES, "null"]
FLAGS = ["true", "false", "null", "default"]
WORDS = [*text("", "Zoe Quill", "ü'';--"), "null", "default"]
PLANS = [*text("one", "two", "none"), "null", "default"]
OURS = "-- ours, without its comments"
SHAPES = {
    "garage": Shape(
        schema=schema("garage"),
        mechanics=f"""
            insert into mechanics (id, user_id, name, application_status, can_accept_sessions, city)
            values ('{OWN_IDS[0]}', '{FRANK}', 'Frank', 'approved', true, 'Laval'),
            ('{OWN_IDS[1]}', '{MONA}', 'Mona', 'approved', false, null),
            ('{OWN_IDS[2]}', '{WES}', 'Wes', 'draft', false, null)""",
        plans="""
            insert into service_plans (slug, name, price, duration_minutes, description)
            values ('one', 'One', 9.99, 30, ''), ('two', 'Two', 29.99, 30, '')""",
        mechanic_ids=OWN_IDS,
        assigned=MECHANICS,
        statuses=text(
            "pending", "accepted", "cancelled", "expired", "completed", "unattended", "no_word"
        ),
        kinds=[*text("chat", "video", "virtual", "diagnostic"), "null"],
        optional={
            "plan_code": PLANS,
            "customer_name": WORDS,
            "accepted_at": MAYBE,
            "created_at": TIMES,
            "expires_at": MAYBE,
            "request_type": [*text("general", "brand_specialist", "other"), "null", "default"],
            "requested_brand": WORDS,
            "parent_session_id": ["null", f"'{UNKNOWN}'"],
            "is_urgent": FLAGS,
            "workshop_id": ["null", f"'{UNKNOWN}'"],
            "preferred_workshop_id": ["null", f"'{UNKNOWN}'"],
            "routing_type": [*text("workshop_only", "broadcast", "hybrid", "priority"), "default"],
        },
        profile={
            "application_status": [*text("draft", "approved", "rejected", "banned"), "null"],
            "can_accept_sessions": FLAGS,
            "is_available": FLAGS,
            "name": WORDS,
            "last_updated": MAYBE,
            "brand_specializations": ["'{Audi}'", "null", "default"],
            "user_id": ["null", f"'{SAM}'", f"'{UNKNOWN}'"],
        },
        plan={
            "price": ["0", "19.99", "null"],
            "is_active": FLAGS,
            "slug": [*text("one", "three"), "null"],
        },
        favorite=("customer_favorites", "customer_id", "mechanic_id"),
        favorite_ids=OWN_IDS,
        enrol="insert into mechanics (id, user_id, name) values ({id}, {user}, 'Sam')",
        also=["update session_requests set expires_at = created_at + interval '15 minutes'"],
        calls=[
            "select expired_count, ids from expire_old_session_requests()",
            "select get_authenticated_mechanic_id()",
        ],
        reads=["select * from open_session_requests", "select state from open_session_requests"],
    ),
    "by_user": Shape(
        schema=schema("by_user"),
        mechanics=f"""
            insert into mechanics (id, full_name, status, online, last_seen)
            values ('{FRANK}', 'Frank', 'approved', true, now()),
            ('{MONA}', 'Mona', 'approved', true, '2026-01-01Z'),
            ('{WES}', 'Wes', 'applied', false, null)""",
        plans="""
            insert into service_plans (code, title, session_type, amount)
            values ('one', 'One', 'chat', 999), ('two', 'Two', 'visit', 2999)""",
        mechanic_ids=MECHANICS,
        assigned=MECHANICS,
        statuses=text(
            *("pending", "accepted", "on_the_way", "cancelled", "expired", "completed"),
            *("disputed", "no_word"),
        ),
        kinds=[*text("chat", "call", "visit", "video"), "null"],
        optional={
            "plan_code": PLANS,
            "notes": WORDS,
            "accepted_at": MAYBE,
            "created_at": TIMES,
            "updated_at": MAYBE,
            "expires_at": MAYBE,
            "metadata": ["""'{"a": 1}'""", "'[]'", "'no json'", "null", "default"],
        },
        profile={
            "status": [*text("applied", "approved", "paused", "other"), "default"],
            "online": FLAGS,
            "last_seen": MAYBE,
            "makes": [*text("Audi, BMW"), "null"],
            "full_name": WORDS,
        },
        plan={
            "amount": ["0", "1", "-1"],
            "archived": FLAGS,
            "code": [*text("one", "three"), "null"],
        },
        favorite=("customer_favorites", "user_id", "mechanic_user_id"),
        favorite_ids=MECHANICS,
        enrol="insert into mechanics (id, full_name) values ({user}, 'Sam')",
        calls=[
            "update session_requests set status = 'expired'"
            " where status = 'pending' and expires_at < now() returning id"
        ],
    ),
    "enums": Shape(
        schema=schema("enums"),
        mechanics=f"""
            insert into mechanics (id, profile_id, first_name, verified)
            values ('{OWN_IDS[0]}', '{FRANK}', 'Frank', true),
            ('{OWN_IDS[1]}', '{MONA}', 'Mona', true), ('{OWN_IDS[2]}', '{WES}', 'Wes', false)""",
        plans="""
            insert into plans (key, label, price_cents)
            values ('one', 'One', 999), ('two', 'Two', 9900)""",
        mechanic_ids=OWN_IDS,
        assigned=OWN_IDS,
        statuses=text(
            *("draft", "pending", "accepted", "in_progress", "completed", "cancelled"),
            *("expired", "refunded", "no_word"),
        ),
        kinds=[*text("chat", "video", "garage_visit", "virtual"), "default"],
        optional={
            "plan_code": [*PLANS, f"'{'x' * 41}'"],
            "created_at": TIMES,
            "customer_email": [*WORDS, f"'{'x' * 201}'"],
            "notification_sent_at": MAYBE,
            "metadata": ["""'{"mail_to": "a@b"}'""", "'[]'", "'no json'", "null"],
        },
        profile={
            "verified": FLAGS,
            "first_name": WORDS,
            "last_name": WORDS,
            "brands": ["""'["Audi"]'""", "'{}'", "null"],
            "city": WORDS,
            "profile_id": [f"'{SAM}'", f"'{MONA}'"],
        },
        plan={
            "price_cents": ["0", "19", "null"],
            "active": FLAGS,
            "key": [*text("one", "three"), "null"],
        },
        favorite=("favorite_mechanics", "customer_id", "mechanic_id"),
        favorite_ids=OWN_IDS,
        plan_table="plans",
        enrol="insert into mechanics (id, profile_id, first_name) values ({id}, {user}, 'Sam')",
        calls=["select * from claim_mails(10)", "select id, status from claim_mails(0)"],
    ),
    "ours": Shape(
        schema=OURS,
        mechanics=f"""
            insert into mechanics (id, display_name, status, is_online, updated_at)
            values ('{FRANK}', 'Frank', 'approved', true, now()),
            ('{MONA}', 'Mona', 'approved', true, '2026-01-01Z'),
            ('{WES}', 'Wes', 'pending', false, '2026-01-01Z')""",
        plans="""
            insert into service_plans (code, title, session_type, price_cents)
            values ('one', 'One', 'chat', 999), ('two', 'Two', 'video', 2999)""",
        mechanic_ids=MECHANICS,
        assigned=MECHANICS,
        statuses=text("pending", "accepted", "cancelled", "expired", "completed", "no_word"),
        kinds=[*text("diagnostic", "chat", "video", "virtual"), "null"],
        optional={
            "plan_code": PLANS,
            "created_at": TIMES,
            "updated_at": MAYBE,
            "accepted_at": MAYBE,
            "expires_at": MAYBE,
            "notification_sent_at": MAYBE,
            "customer_name": WORDS,
            "notes": WORDS,
            "metadata": [
                """'{"stripe_checkout_session_id": "cs_1", "stripe_payment_intent": "pi_1"}'""",
                "'{}'",
                "null",
                "default",
            ],
            "is_urgent": FLAGS,
            "request_type": [*text("general", "other"), "null"],
            "extracted_keywords": ["'{a}'", "null"],
            "is_follow_up": FLAGS,
            "preferred_workshop_id": ["null", f"'{UNKNOWN}'"],
        },
        profile={
            "status": [*text("pending", "approved", "suspended", "other"), "null"],
            "is_online": FLAGS,
            "updated_at": MAYBE,
            "brands": ["'{Audi}'", "null"],
            "display_name": WORDS,
            "city": WORDS,
        },
        plan={
            "price_cents": ["0", "1", "-1"],
            "is_active": FLAGS,
            "code": [*text("one", "three"), "null"],
        },
        favorite=("customer_favorites", "customer_id", "mechanic_id"),
        favorite_ids=MECHANICS,
        enrol="insert into mechanics (id, display_name) values ({user}, 'Sam')",
        calls=[
            "update session_requests set notification_sent_at = now()"
            " where notification_sent_at is null and status = 'pending' returning id"
        ],
    ),
}


# What is drawn.


@dataclass(frozen=True)
class Step:
    """Statements of one transaction, and whose."""

    who: str  # a role, or a user's id, who is then authenticated
    statements: tuple[str, ...]
    end: str = "commit"


Drawn = TypeVar("Drawn")


def weighted(options: dict[st.SearchStrategy[Drawn], int]) -> st.SearchStrategy[Drawn]:
    """One of these, by their weights. (one_of takes what it is given twice for one.)"""
    turns = [each for each, times in options.items() for _ in range(times)]
    return st.sampled_from(range(len(turns))).flatmap(lambda n: turns[n])


def quoted(ids: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from([f"'{each}'" for each in ids])


def assignments(
    columns: dict[str, Sequence[str]], at_least: int = 0, at_most: int = 3
) -> st.SearchStrategy[dict[str, str]]:
    """Some columns, each with a value."""
    return st.lists(
        st.sampled_from(sorted(columns)), unique=True, min_size=at_least, max_size=at_most
    ).flatmap(lambda names: st.fixed_dictionaries({n: st.sampled_from(columns[n]) for n in names}))


def set_list(values: dict[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def insert(table: str, values: dict[str, str]) -> str:
    return f"insert into {table} ({', '.join(values)}) values ({', '.join(values.values())})"


class Statements:
    """The statements of a marketplace's own."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.assigned = dict(zip(MECHANICS, shape.assigned, strict=True))
        self.changes: dict[str, Sequence[str]] = {
            "status": shape.statuses,
            "mechanic_id": ["null", *(f"'{each}'" for each in shape.assigned), f"'{UNKNOWN}'"],
            "session_type": shape.kinds,
            "customer_id": [f"'{CARL}'", "null"],
            **shape.optional,
        }
        self.returning = st.sampled_from(
            ["", " returning *", " returning id, status", " returning status, created_at"]
        )
        self.taken = "status = 'accepted'" + (
            ", accepted_at = now()" if "accepted_at" in shape.optional else ""
        )
        self.given_back = "mechanic_id = null, status = 'pending'" + (
            ", accepted_at = null" if "accepted_at" in shape.optional else ""
        )

    def steps(self) -> st.SearchStrategy[Step]:
        anyone = st.sampled_from(
            ["service_role"] * 12 + ["postgres"] * 2 + ["anon", *USERS, CARLA, FRANK, MONA]
        )
        one = st.builds(lambda who, statement: Step(who, (statement,)), anyone, self.any())
        several = st.builds(
            lambda who, statements, end: Step(who, tuple(statements), end),
            anyone,
            st.lists(weighted({self.any(): 5, self.savepoints(): 1}), min_size=2, max_size=4),
            st.sampled_from(["commit", "commit", "rollback"]),
        )
        cron = st.sampled_from([Step(CRON, (job,)) for job in JOBS])
        own = weighted({self.books(): 2, self.takes(): 2, self.ends(): 1})
        return weighted({own: 5, one: 10, several: 3, self.channels(): 1, self.walks(): 1, cron: 1})

    def any(self) -> st.SearchStrategy[str]:
        return weighted(
            {
                **{self.inserts(): 4, self.updates(): 6, self.flows(): 8, self.upserts(): 3},
                **{self.merges(): 3, self.deletes(): 1, self.calls(): 3, self.reads(): 2},
                **{self.of_mechanics(): 3, self.of_favorites(): 1, self.of_plans(): 1},
                **{self.of_users(): 1},
            }
        )

    def tour(self) -> list[Step]:
        """Some of each, by hand: every value of every column, and what a day brings."""
        shape, backend = self.shape, "service_role"
        first, _, third, fourth, fifth = text(*REQUESTS)
        frank, mona = self.assigned[FRANK], self.assigned[MONA]
        own_word, kind = shape.statuses[-2], shape.kinds[0]
        table, customer, mechanic = shape.favorite
        update, open_one = (
            "update session_requests set",
            "status = 'pending' and mechanic_id is null",
        )
        base = {"id": fourth, "customer_id": f"'{CARLA}'", "session_type": kind}
        book = insert("session_requests", base)
        sets = [f"{n} = {value}" for n, values in self.changes.items() for value in values]
        again = insert("session_requests", base | {"id": third}) + " on conflict (id) do"
        merge = (
            f"merge into session_requests as r using (values ({third}::uuid), ({fifth}::uuid))"
            " as s (id) on r.id = s.id"
            " when not matched then insert (id, customer_id, session_type)"
            f" values (s.id, '{CARL}', {kind}) when matched then"
        )
        taken = [
            (
                who,
                f"{update} mechanic_id = '{self.assigned.get(who, frank)}', {self.taken}"
                f" where id = {fourth} and {open_one} returning id",
            )
            for who in (SAM, WES, FRANK, MONA)
        ]
        channel = [
            "select set_config('realtime.topic', 'session_requests_feed', true)",
            "insert into realtime.messages (topic, extension, event, private)"
            " values ('session_requests_feed', 'broadcast', 'theirs', true)",
            "select topic, event from realtime.messages",
        ]
        gone = f"delete from session_requests where id = {fourth}"
        alone: list[tuple[str, str]] = [
            *((backend, f"{update} {each} where id = {third} returning *") for each in sets),
            (backend, gone),
            *((who, book) for who in (CARL, "anon", CARLA, CARLA)),
            *((CRON, job) for job in JOBS),
            *taken,
            *(
                (backend, f"{update} {change} where id = {fourth} returning status")
                for change in (
                    self.given_back,
                    f"status = {own_word}",
                    f"mechanic_id = '{frank}', {self.taken}",
                    "status = 'completed'",
                    "status = 'cancelled'",
                    "status = 'completed'",
                    "status = 'pending'",
                    f"mechanic_id = '{mona}', {self.taken}",
                )
            ),
            (CARLA, f"{update} status = 'cancelled' where id = {first} returning id"),
            (MONA, f"{update} status = 'completed' where id = {fourth} returning id"),
            *((CARLA, each) for each in shape.reads),
            (backend, f"{again} nothing"),
            (backend, f"{again} update set status = excluded.status returning status"),
            (backend, f"select * from take_request({third}, '{mona}')"),
            (backend, f"select * from take_request({third}, '{mona}')"),
            (backend, f"{merge} update set {self.given_back}"),
            (CRON, JOBS[0]),
            *((who, each) for who in (backend, "postgres") for each in shape.calls),
            (backend, f"{update} status = 'pending' where true"),
            (CRON, JOBS[0]),
            (backend, f"{merge} delete"),
            (
                backend,
                f"{update} status = 'cancelled' where customer_id = '{CARLA}'"
                f" and status in ('pending', 'accepted', {own_word}) returning id",
            ),
            (backend, f"select clean_up('{CARLA}')"),
            *(
                (backend, f"update mechanics set {name} = {value}")
                for name, values in shape.profile.items()
                for value in values
            ),
            *(
                (backend, f"update {shape.plan_table} set {name} = {value}")
                for name, values in shape.plan.items()
                for value in values
            ),
            (
                CARLA,
                f"insert into {table} ({customer}, {mechanic})"
                f" values ('{CARLA}', '{shape.favorite_ids[1]}')",
            ),
            (CARLA, f"delete from {table} where {customer} = '{CARLA}' returning {mechanic}"),
            (backend, shape.enrol.format(user=f"'{SAM}'", id=f"'{UNKNOWN}'")),
            (backend, f"delete from mechanics where id = '{shape.mechanic_ids[0]}'"),
            ("postgres", f"delete from auth.users where id = '{MONA}'"),
            (backend, f"delete from session_requests where id = {fourth} returning id"),
            ("postgres", f"delete from auth.users where id = '{CARL}'"),
        ]
        bookings = [
            Step(backend, (gone, insert("session_requests", base | {name: value}) + " returning *"))
            for name, values in shape.optional.items()
            for value in values
        ]
        together = [
            Step(MONA, tuple(channel)),
            Step(CARLA, (*channel[:1], channel[2])),
            Step(backend, (book, f"{update} status = 'accepted' where true"), "rollback"),
            Step(
                backend,
                (book, "savepoint s", book, "rollback to s", f"{update} status = 'expired'"),
            ),
            Step(backend, (book, book, "select * from session_requests")),
            Step(backend, ("delete from session_requests where true returning id",)),
        ]
        return [
            *bookings,
            *(Step(who, (each,)) for who, each in alone),
            *together,
            Step("postgres", ("truncate session_requests",)),
        ]

    # As their users do it.

    def books(self) -> st.SearchStrategy[Step]:
        return st.builds(
            lambda who, values: Step(
                who[0], (insert("session_requests", values | {"customer_id": f"'{who[1]}'"}),)
            ),
            st.sampled_from(
                [
                    *((CARLA, CARLA), (CARL, CARL), (FRANK, FRANK), (SAM, CARLA)),
                    *(("service_role", CARLA), ("service_role", CARL)),
                ]
            ),
            self.row(bad=False),
        )

    def takes(self) -> st.SearchStrategy[Step]:
        return st.builds(
            lambda who, request, condition, returning: Step(
                who,
                (
                    f"update session_requests set mechanic_id = '{self.assigned[who]}',"
                    f" {self.taken} where id = {request}{condition}{returning}",
                ),
            ),
            st.sampled_from(MECHANICS),
            quoted(THERE),
            st.sampled_from(["", " and status = 'pending' and mechanic_id is null"]),
            self.returning,
        )

    def ends(self) -> st.SearchStrategy[Step]:
        return st.builds(
            lambda who, status, request: Step(
                who, (f"update session_requests set status = {status} where id = {request}",)
            ),
            st.sampled_from([CARLA, CARL, *MECHANICS]),
            st.sampled_from(self.shape.statuses),
            quoted(THERE),
        )

    def channels(self) -> st.SearchStrategy[Step]:
        """Realtime's own look at who may listen to a channel, or send to it."""
        topics = text("online_mechanics", "session_requests_feed", "room:1", "mechanic:1")
        return st.builds(
            lambda who, topic, statement: Step(
                who,
                (
                    f"select set_config('realtime.topic', {topic}, true)",
                    statement.format(topic=topic),
                ),
            ),
            st.sampled_from([*USERS, "anon", "service_role"]),
            st.sampled_from(topics),
            st.sampled_from(
                [
                    "select topic, event, extension from realtime.messages",
                    "select count(*) from realtime.messages where topic = {topic}",
                    "insert into realtime.messages (topic, extension, event, private)"
                    " values ({topic}, 'broadcast', 'theirs', true)",
                    "insert into realtime.messages (topic, extension)"
                    " values ({topic}, 'presence') returning topic",
                    "select realtime.send('{{}}', 'theirs', {topic}, true)",
                ]
            ),
        )

    def walks(self) -> st.SearchStrategy[Step]:
        """Row by row, as a worker does."""
        return st.builds(
            lambda status, end: Step(
                "service_role",
                (
                    "declare c cursor for select * from session_requests"
                    f" where id in ({', '.join(text(*REQUESTS))}) order by id for update",
                    "fetch 1 from c",
                    f"update session_requests set status = {status} where current of c",
                    "fetch 1 from c",
                    "delete from session_requests where current of c returning id",
                ),
                end,
            ),
            st.sampled_from(self.shape.statuses),
            st.sampled_from(["commit", "rollback"]),
        )

    def savepoints(self) -> st.SearchStrategy[str]:
        return st.sampled_from(
            ["savepoint s", "rollback to s", "release s", "set constraints all immediate"]
        )

    # As their backend does it.

    def row(self, bad: bool = True) -> st.SearchStrategy[dict[str, str]]:
        shape = self.shape
        must: dict[str, st.SearchStrategy[str]] = {
            "id": quoted(NEW),
            "customer_id": quoted([CARLA, CARL, FRANK]),
            "session_type": st.sampled_from(shape.kinds[:3]),
        }
        columns: dict[str, Sequence[str]] = {"status": shape.statuses, **shape.optional}
        if bad:
            must |= {
                "id": quoted(NEW) | st.just("default"),
                "customer_id": quoted([CARLA, CARL, FRANK, UNKNOWN]),
                "session_type": st.sampled_from(shape.kinds),
            }
            columns = self.changes | {"customer_id": [f"'{CARLA}'"]}
        return st.builds(
            lambda base, more: base | more,
            st.fixed_dictionaries(must),
            assignments({n: v for n, v in columns.items() if n not in must}, at_most=4),
        )

    def condition(self) -> st.SearchStrategy[str]:
        some = st.lists(st.sampled_from(self.shape.statuses[:-1]), min_size=1, max_size=3)
        one = quoted(THERE)
        batches = st.one_of(
            st.lists(quoted(THERE), min_size=1, max_size=3).map(
                lambda ids: f"id in ({', '.join(ids)})"
            ),
            st.builds(
                lambda who, words: f"customer_id = {who} and status in ({', '.join(words)})",
                quoted([CARLA, CARL]),
                some,
            ),
            quoted(self.shape.assigned).map("mechanic_id = {}".format),
            st.sampled_from(["true", "created_at < now() - interval '10 minutes'"]),
            st.just(
                "status = 'pending' and expires_at < now()"
                if "expires_at" in self.shape.optional
                else "status = 'pending'"
            ),
        )
        return weighted(
            {
                one.map("id = {}".format): 4,
                one.map("id = {} and status = 'pending' and mechanic_id is null".format): 2,
                batches: 4,
            }
        )

    def inserts(self) -> st.SearchStrategy[str]:
        several = st.lists(quoted(NEW), min_size=2, max_size=3).map(
            lambda ids: (
                "insert into session_requests (id, customer_id, session_type)"
                f" select i.id, '{CARLA}', 'chat' from unnest(array[{', '.join(ids)}]::uuid[])"
                " as i (id) returning id"
            )
        )
        single = st.builds(
            lambda values, returning: insert("session_requests", values) + returning,
            self.row(),
            self.returning,
        )
        return weighted({single: 3, several: 1})

    def updates(self) -> st.SearchStrategy[str]:
        return st.builds(
            lambda values, where, returning: (
                f"update session_requests set {set_list(values)} where {where}{returning}"
            ),
            assignments(self.changes, at_least=1),
            self.condition(),
            self.returning,
        )

    def flows(self) -> st.SearchStrategy[str]:
        own_word = self.shape.statuses[-2]
        return st.builds(
            lambda change, mechanic, where: (
                f"update session_requests set {change.format(mechanic=mechanic)}"
                f" where {where} returning id, status, mechanic_id"
            ),
            st.sampled_from(
                [
                    f"mechanic_id = {{mechanic}}, {self.taken}",
                    self.given_back,
                    f"status = {own_word}",
                    "status = 'completed'",
                    "status = 'cancelled'",
                    "status = 'pending'",
                ]
            ),
            quoted(self.shape.assigned),
            self.condition(),
        )

    def upserts(self) -> st.SearchStrategy[str]:
        actions = st.one_of(
            st.just("nothing"),
            st.just("update set status = excluded.status, session_type = excluded.session_type"),
            assignments(self.changes, at_least=1).map(lambda v: f"update set {set_list(v)}"),
            st.just(
                f"update set {self.given_back} where session_requests.status = 'accepted'",
            ),
        )
        return st.builds(
            lambda values, target, action, returning: (
                f"{insert('session_requests', values)} on conflict{target} do {action}{returning}"
                if target or action == "nothing"
                else insert("session_requests", values)
            ),
            self.row(),
            st.sampled_from([" (id)", " (id)", " on constraint session_requests_pkey", ""]),
            actions,
            self.returning,
        )

    def merges(self) -> st.SearchStrategy[str]:
        return st.builds(
            lambda ids, when, action, values: (
                "merge into session_requests as r using"
                f" (select i.id from unnest(array[{', '.join(ids)}]::uuid[]) as i (id)) as s"
                f" on r.id = s.id when matched{when} then {action}"
                f" when not matched then insert ({', '.join(values)})"
                f" values ({', '.join((values | {'id': 's.id'}).values())})"
            ),
            st.lists(quoted(THERE), min_size=1, max_size=3),
            st.sampled_from(["", " and r.status = 'pending'"]),
            st.one_of(
                st.sampled_from(["delete", "do nothing", f"update set {self.given_back}"]),
                assignments(self.changes, at_least=1).map(lambda v: f"update set {set_list(v)}"),
            ),
            self.row(),
        )

    def deletes(self) -> st.SearchStrategy[str]:
        single = st.builds(
            "delete from session_requests where {}{}".format, self.condition(), self.returning
        )
        return weighted({single: 5, st.just("truncate session_requests"): 1})

    def calls(self) -> st.SearchStrategy[str]:
        return st.one_of(
            st.sampled_from(self.shape.calls),
            st.builds(
                "select * from take_request({}, {})".format,
                quoted(THERE),
                quoted(self.shape.assigned),
            ),
            quoted([CARLA, CARL]).map("select clean_up({})".format),
        )

    def reads(self) -> st.SearchStrategy[str]:
        table, customer, mechanic = self.shape.favorite
        return st.sampled_from(
            [
                "select * from session_requests",
                "select count(*) from session_requests",
                "select id, status, customer_id, mechanic_id from session_requests",
                "select id from session_requests where status = 'pending' for update skip locked",
                "select r.status, m.id from session_requests as r left join mechanics as m"
                " on m.id = r.mechanic_id",
                "select id from mechanics",
                "select * from mechanics",
                f"select {customer}, {mechanic} from {table}",
                f"select * from {self.shape.plan_table}",
                "select what, became from audit_trail",
                *self.shape.reads,
            ]
        )

    def of_mechanics(self) -> st.SearchStrategy[str]:
        ids = quoted(self.shape.mechanic_ids)
        changes = st.builds(
            lambda values, where: f"update mechanics set {set_list(values)} where {where}",
            assignments(self.shape.profile, at_least=1),
            ids.map("id = {}".format) | st.just("true"),
        )
        enrols = st.builds(
            lambda user, own: self.shape.enrol.format(user=user, id=own),
            quoted(USERS),
            quoted([UNKNOWN, *OWN_IDS]),
        )
        goes = ids.map("delete from mechanics where id = {} returning id".format)
        moves = ids.map(f"update mechanics set id = '{UNKNOWN}' where id = {{}}".format)
        return weighted({changes: 4, enrols: 1, goes: 1, moves: 1})

    def of_favorites(self) -> st.SearchStrategy[str]:
        table, customer, mechanic = self.shape.favorite
        return st.builds(
            lambda who, whom, kind: kind.format(who=who, whom=whom),
            quoted([CARLA, CARL]),
            quoted([*self.shape.favorite_ids, UNKNOWN]),
            st.sampled_from(
                [
                    f"insert into {table} ({customer}, {mechanic}) values ({{who}}, {{whom}})",
                    f"insert into {table} ({customer}, {mechanic}) values ({{who}}, {{whom}})"
                    " on conflict do nothing",
                    f"delete from {table} where {customer} = {{who}} and {mechanic} = {{whom}}",
                    f"delete from {table} where {mechanic} = {{whom}} returning {customer}",
                ]
            ),
        )

    def of_plans(self) -> st.SearchStrategy[str]:
        table = self.shape.plan_table
        return st.builds(
            lambda values, returning: f"update {table} set {set_list(values)}{returning}",
            assignments(self.shape.plan, at_least=1, at_most=2),
            st.sampled_from(["", f" returning {min(self.shape.plan)}"]),
        ) | st.just(f"delete from {table}")

    def of_users(self) -> st.SearchStrategy[str]:
        return st.one_of(
            quoted([*USERS, UNKNOWN]).map("delete from auth.users where id = {}".format),
            quoted([*USERS, UNKNOWN]).map("insert into auth.users (id) values ({})".format),
        )


# The twins.

# The rows and their number, or the error in full but for its detail, which shows the whole row.
Answer = tuple[str | None, ...]


class Twin:
    """One of the two databases, with all that it answered."""

    def __init__(self, database: Database, shape: Shape) -> None:
        self.shape = shape
        self.connection = database.owner
        self.superuser = database.superuser()
        # So that emptying runs no trigger and no foreign key.
        self.superuser.execute("set session_replication_role = replica")
        # Of a statement that is wrong twice, the first error depends on which row comes first, and
        # that on the plan: an autovacuum in one of the twins might change it.
        self.connection.execute("set enable_hashjoin = off")
        self.connection.execute("set enable_mergejoin = off")
        self.said: list[str] = []
        self.connection.add_notice_handler(
            lambda each: self.said.append(f"{each.severity} {each.sqlstate} {each.message_primary}")
        )
        self.connection.add_notify_handler(
            lambda each: self.said.append(f"{each.channel}: {each.payload}")
        )
        for channel in (
            *("backend", "session_requests_feed", "online_mechanics"),
            *(f"{kind}:{each}" for kind in ("mechanic", "customer") for each in sorted(KNOWN)),
        ):
            self.connection.execute(f'listen "{channel}"'.encode())
        # The three columns are null, and what the twin without them has is what theirs are.
        tables = self.connection.execute(
            b"select c.oid::regclass::text, (select array_agg(quote_ident(a.attname) order by"
            b" a.attnum) from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0"
            b" and not a.attisdropped and a.attname <> 'n') from pg_class as c"
            b" where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1"
        ).fetchall()
        self.tables = [
            f"select {', '.join(c for c in columns if c not in COLUMNS)} from {table}"
            for table, columns in tables
            if table != "audit_trail"
        ]
        # What was not looked at before.
        self.tables.append("delete from audit_trail returning what, request_id, was, became, depth")
        self.tables.append("select topic, extension, event, private from realtime.messages")
        self.empty = ";".join(
            [
                *(f"delete from {table}" for table, _ in tables),
                "delete from auth.users",
                "delete from realtime.messages",
                "insert into auth.users (id) values " + ", ".join(f"('{u}')" for u in USERS),
                shape.mechanics,
                shape.plans,
                # One to take, one whose time is over, and one that Mona took.
                "insert into session_requests (id, customer_id, session_type, created_at, status,"
                " mechanic_id) values"
                f" ('{REQUESTS[0]}', '{CARLA}', 'chat', now(), 'pending', null),"
                f" ('{REQUESTS[1]}', '{CARLA}', 'chat', {LONG_AGO}, 'pending', null),"
                f" ('{REQUESTS[2]}', '{CARL}', 'chat', now(), 'accepted', '{shape.assigned[1]}')",
                *shape.also,
                "insert into {} ({}, {}) values".format(*shape.favorite)
                + f" ('{CARLA}', '{shape.favorite_ids[0]}')",
            ]
        )
        ours = self.superuser.execute(
            b"select oid::regclass::text from pg_class where relkind = 'r' and relname <>"
            b" 'found_before' and relnamespace = to_regnamespace('dispatch')"
        )
        self.empty += "".join(f"; delete from {table}" for (table,) in ours)
        self.began = datetime.now(UTC)

    def begin(self) -> None:
        """As it was at first."""
        self.superuser.execute(self.empty.encode())
        self.said.clear()
        self.began = datetime.now(UTC)

    def run(self, step: Step) -> list[Answer]:
        """What each statement answered, and what was said and told meanwhile."""
        role = step.who if "-" not in step.who else "authenticated"
        claims = f'{{"role": "{role}"' + (f', "sub": "{step.who}"}}' if "-" in step.who else "}")
        as_whom = (
            f"begin; set local role {role};"
            f" select set_config('request.jwt.claims', '{claims}', true); "
        )
        first, *others = step.statements
        answers = [self.answer(each) for each in (as_whom + first, *others, step.end)]
        said = sorted(self.said)
        self.said.clear()
        return [*answers, tuple(said)]

    def answer(self, statements: str) -> Answer:
        """The last one's: its rows and how many there were, or its error."""
        try:
            cursor = self.connection.execute(statements.encode())
        except psycopg.Error as error:
            d = error.diag
            return (
                *(d.sqlstate, d.message_primary, d.message_hint, d.schema_name, d.table_name),
                *(d.column_name, d.constraint_name, d.datatype_name),
            )
        while cursor.nextset():
            pass
        return (cursor.statusmessage, *(self.shown(cursor) if cursor.description else ()))

    def shown(self, cursor: psycopg.Cursor[Any]) -> list[str]:
        names = [column.name for column in cursor.description or ()]
        kept = [n for n, name in enumerate(names) if name not in COLUMNS]
        return sorted(", ".join(f"{names[n]}={self.value(row[n])}" for n in kept) for row in cursor)

    def value(self, value: object) -> str:
        """Generated ids are all the same, as are the times of now."""
        if isinstance(value, UUID):
            return str(value) if str(value) in KNOWN else "(an id)"
        if isinstance(value, datetime):
            since = value.replace(tzinfo=value.tzinfo or UTC) - self.began
            near = abs(since) < timedelta(days=1)
            return f"now{round(since / timedelta(minutes=1)):+d}min" if near else f"{value}"
        if isinstance(value, list):
            return str(sorted(map(self.value, value)))
        return repr(value)

    def content(self) -> list[list[str]]:
        cursor = self.connection.execute(";".join(self.tables).encode())
        found = [self.shown(cursor)]
        while cursor.nextset():
            found.append(self.shown(cursor))
        return found


OF_OURS = b"""
select 'request_events', to_jsonb(t)::text from dispatch.request_events as t
union all select 'windows', to_jsonb(t)::text from dispatch.windows as t
union all select 'stripe_events', to_jsonb(t)::text from dispatch.stripe_events as t
union all select 'presence', to_jsonb(t)::text from dispatch.presence as t
union all select 'session_requests', to_jsonb(t)::text from public.session_requests as t
where preferred_mechanic_id is not null or priority_window_minutes is not null
or priority_notified_at is not null
"""


@dataclass
class Twins:
    before: Twin
    after: Twin  # ours is on it
    shape: Shape

    def check(self, steps: list[Step]) -> list[Answer]:
        """Each answers the same, and leaves the same; the answers."""
        answers: list[Answer] = []
        for twin in (self.before, self.after):
            twin.begin()
        for step in steps:
            changed = step is steps[-1] or step.who == CRON
            if step.who == CRON:
                done = self.after.run(Step("postgres", step.statements))
                assert done[0][0] == "SELECT 1" and done[-1] == (), f"{step} said {done}"
            else:
                wanted = self.before.run(step)
                answered = self.after.run(step)
                assert answered == wanted, f"{step}\nbefore: {wanted}\nafter:  {answered}"
                answers += wanted[:-2]
                changed |= wanted[-1] != ()  # their own triggers told of it
            if changed:
                content, found = self.before.content(), self.after.content()
                assert found == content, f"after {step}\nbefore: {content}\nafter:  {found}"
        assert self.after.connection.execute(OF_OURS).fetchall() == []
        return answers


def make(cluster: Cluster, name: str) -> tuple[str, str]:
    """The databases to copy: a marketplace as it was, and with ours on it, the flag off."""
    shape, before, after = SHAPES[name], f"twin_{name}_before", f"twin_{name}_after"
    dsn = cluster.create_database(before)
    with psycopg.connect(dsn, autocommit=True) as connection:
        if shape.schema == OURS:
            install(dsn, MARKETPLACE)
            for table in ("mechanics", "customer_favorites", "service_plans", "session_requests"):
                connection.execute(f"comment on table public.{table} is null".encode())
        else:
            connection.execute(shape.schema.encode())
        connection.execute(MORE.encode())
    install_on_theirs(cluster.create_database(after, before))
    return before, after


@contextmanager
def twins(cluster: Cluster, name: str, templates: tuple[str, str]) -> Iterator[Twins]:
    shape = SHAPES[name]
    with (
        fresh_database(cluster, templates[0]) as before,
        fresh_database(cluster, templates[1]) as after,
    ):
        yield Twins(Twin(before, shape), Twin(after, shape), shape)
