"""What Realtime broadcasts of each transition, and who may join which topic."""

from collections.abc import Callable, Iterator

import pytest

from stack.install import DOWN, ENGINE, install
from stack.postgres import Cluster
from tests.database import (
    Database,
    checkout,
    eventually,
    fresh_database,
    refund,
    rows,
    rpc,
    value,
)
from tests.further import further_but
from tests.realtime_rules import FEED, PRESENCE, Client, access, broadcasts

OURS = "select policyname, permissive, roles, cmd, qual, with_check from pg_policies"
OURS += " where schemaname = 'realtime' and policyname like 'dispatch_topics_%' order by 1"


class Story:
    """A customer, two mechanics and a request, as the transitions below need them."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.customer, self.favourite, self.other = (
            db.make_customer(),
            db.make_mechanic(),
            db.make_mechanic(),
        )
        self.names = {
            f"customer:{self.customer}": "customer",
            f"mechanic:{self.favourite}": "favourite",
            f"mechanic:{self.other}": "other",
            FEED: "feed",
        }
        self.request = ""

    def book(self, reserved: bool = True) -> None:
        preferred = self.favourite if reserved else None
        self.request = self.db.make_request(self.customer, preferred)

    def call(self, who: str, function: str) -> None:
        rpc(self.db.connect(getattr(self, who)), function, request_id=self.request)

    def stripe(self, event: object) -> None:
        rpc(self.db.connect(role="service_role"), "process_stripe_event", event=event)


def reserved(story: Story) -> None:
    story.book()


def broadcast(story: Story) -> None:
    story.book(reserved=False)


def skipped(story: Story) -> None:
    wish = {"routing_type": "priority_broadcast", "preferred_mechanic_id": story.customer}
    story.request = story.db.make_request(story.customer, metadata=wish)


def declined(story: Story) -> None:
    story.book()
    story.call("favourite", "decline_session_request")


def opened(story: Story) -> None:
    story.book()
    story.call("customer", "broadcast_session_request_now")


def window_ended(story: Story) -> None:
    story.book()
    story.db.end_window(story.request)
    story.db.sweep()


def accepted(story: Story) -> None:
    story.book()
    story.call("favourite", "accept_session_request")


def accepted_late(story: Story) -> None:
    story.book()
    story.db.end_window(story.request)
    story.call("other", "accept_session_request")


def taken(story: Story) -> None:
    broadcast(story)
    story.call("other", "accept_session_request")


def completed(story: Story) -> None:
    accepted(story)
    story.call("favourite", "complete_session_request")


def cancelled(story: Story) -> None:
    story.book()
    story.call("customer", "cancel_session_request")


def cancelled_in_the_open(story: Story) -> None:
    broadcast(story)
    story.call("customer", "cancel_session_request")


def refunded(story: Story) -> None:
    story.stripe(checkout(story.customer, story.favourite, payment="pi_1"))
    story.stripe(refund("pi_1"))


def expired(story: Story) -> None:
    broadcast(story)
    story.db.sql("update session_requests set expires_at = now()")
    story.db.sweep()


RESERVED = ("priority_request", {"customer", "favourite"}, None)
BROADCAST = ("new_request", {"customer", "feed"}, None)
TRANSITIONS: list[tuple[Callable[[Story], None], list[tuple[str, set[str], str | None]]]] = [
    (reserved, [RESERVED]),
    (broadcast, [BROADCAST]),
    (skipped, [("priority_skipped", {"customer"}, "unknown_mechanic"), BROADCAST]),
    (
        declined,
        [
            RESERVED,
            ("request_declined", {"favourite"}, None),
            ("new_request", {"customer", "feed"}, "declined"),
        ],
    ),
    (opened, [RESERVED, ("new_request", {"customer", "feed"}, "customer")]),
    (window_ended, [RESERVED, ("new_request", {"customer", "feed"}, "window_ended")]),
    (accepted, [RESERVED, ("request_accepted", {"customer", "favourite"}, None)]),
    (accepted_late, [RESERVED, ("request_accepted", {"customer", "other", "feed"}, None)]),
    (taken, [BROADCAST, ("request_accepted", {"customer", "other", "feed"}, None)]),
    (
        completed,
        [
            RESERVED,
            ("request_accepted", {"customer", "favourite"}, None),
            ("request_completed", {"customer", "favourite"}, None),
        ],
    ),
    (cancelled, [RESERVED, ("request_cancelled", {"customer", "favourite"}, "cancelled")]),
    (
        cancelled_in_the_open,
        [BROADCAST, ("request_cancelled", {"customer", "feed"}, "cancelled")],
    ),
    (refunded, [RESERVED, ("request_cancelled", {"customer", "favourite"}, "refunded")]),
    (expired, [BROADCAST, ("request_cancelled", {"customer", "feed"}, "expired")]),
]


@pytest.mark.parametrize(
    ("transition", "expected"), TRANSITIONS, ids=[each.__name__ for each, _ in TRANSITIONS]
)
def test_each_transition_is_broadcast_to_its_topics(
    shared: Database,
    transition: Callable[[Story], None],
    expected: list[tuple[str, set[str], str | None]],
) -> None:
    story = Story(shared)
    transition(story)
    sent = broadcasts(shared)
    events = {event["id"]: event for event in shared.events()}
    found: dict[int, tuple[str, set[str], str | None]] = {}
    for topic, event, payload in sent:
        logged = events[payload["event_id"]]
        assert (event, payload) == (logged["event"], logged["payload"])
        assert payload["event"] == event
        told = found.setdefault(logged["id"], (event, set(), payload.get("reason")))
        told[1].add(story.names[topic])
    assert list(found.values()) == expected


# Who may join.


@pytest.mark.parametrize("status", [None, "approved", "pending", "suspended"])
def test_who_may_join_which_topic(shared: Database, status: str | None) -> None:
    """A mechanic the feed and their own topic; anyone the topic of the customer they are."""
    user = shared.make_customer() if status is None else shared.make_mechanic(status)
    stranger, client = shared.make_mechanic(), Client(user)
    read = {"broadcast read"}
    approved = read if status == "approved" else set()
    assert access(shared, FEED, client) == approved
    assert access(shared, f"mechanic:{user}", client) == approved
    assert access(shared, f"customer:{user}", client) == read
    for topic in (f"mechanic:{stranger}", f"customer:{stranger}", f"customer:{user}x", "", "room"):
        assert access(shared, topic, client) == set()
    assert access(shared, f"mechanic:{user}".upper(), client) == set()


@pytest.mark.parametrize(
    ("status", "writes"),
    [("approved", True), ("pending", False), ("suspended", False), (None, False)],
)
def test_mechanics_show_their_presence_to_who_is_signed_in(
    shared: Database, status: str | None, writes: bool
) -> None:
    user = shared.make_customer() if status is None else shared.make_mechanic(status)
    read = {"broadcast read", "presence read"}
    expected = read | {"presence write"} if writes else read
    assert access(shared, PRESENCE, Client(user)) == expected


@pytest.mark.parametrize(
    "client",
    [Client(), Client(role="anon"), Client("user_2abc"), Client(claims={"sub": ""})],
    ids=["without a user", "anon", "of another issuer", "empty sub"],
)
def test_who_is_nobody_joins_nothing(shared: Database, client: Client) -> None:
    mechanic = shared.make_mechanic()
    for topic in (FEED, PRESENCE, f"mechanic:{mechanic}", f"customer:{mechanic}", "customer:"):
        assert access(shared, topic, client) == set()


@pytest.fixture
def open_db(db: Database) -> Database:
    """Where the marketplace lets everyone do everything, as Supabase's guides begin."""
    db.sql(
        "create policy anything on realtime.messages for all to anon, authenticated"
        " using (true) with check (true)"
    )
    return db


def test_a_policy_for_every_topic_does_not_open_ours(open_db: Database) -> None:
    mechanic, stranger = open_db.make_mechanic(), Client(open_db.make_customer())
    everything = {
        f"{what} {how}" for what in ("broadcast", "presence") for how in ("read", "write")
    }
    clients = (stranger, Client(role="anon"), Client(mechanic))
    for client in clients:
        assert (
            access(open_db, "room", client) == access(open_db, "mechanic:1", client) == everything
        )
    for topic in (FEED, f"mechanic:{mechanic}", f"customer:{mechanic}", PRESENCE):
        seen = access(open_db, topic, stranger)
        assert seen == ({"broadcast read", "presence read"} if topic == PRESENCE else set())
        assert access(open_db, topic, Client(role="anon")) == set()
        assert not {"broadcast write"} & access(open_db, topic, Client(mechanic))


def test_a_client_who_reads_the_messages_themselves_sees_no_others(open_db: Database) -> None:
    story = Story(open_db)
    accepted(story)
    assert broadcasts(open_db)
    connection = open_db.connect(story.other)
    for topic in ("", FEED, f"mechanic:{story.other}"):
        rows(connection, "select set_config('realtime.topic', %s, false)", topic)
        assert rows(connection, "select topic from realtime.messages") == []


# Whatever ails Realtime costs the Broadcast, and nothing else.

NO_PARTITION = """
    do $$ declare v_table regclass; begin
        for v_table in select inhrelid from pg_inherits
            where inhparent = 'realtime.messages'::regclass
        loop execute 'drop table ' || v_table; end loop;
    end $$
"""
NO_SEND = "drop function realtime.send(jsonb, text, text, boolean)"
AILMENTS = {
    "no partition for today": NO_PARTITION,
    "send raises": "create or replace function realtime.send(payload jsonb, event text, topic text,"
    " private boolean default true) returns void language plpgsql"
    " as 'begin raise exception ''down''; end'",
    "no send": NO_SEND,
    "another send": f"{NO_SEND}; create function realtime.send(topic text, message jsonb)"
    " returns uuid language sql as 'select gen_random_uuid()'",
    "no topic()": "drop function realtime.topic() cascade",
    "no messages": "drop table realtime.messages cascade",
    "no realtime": "drop schema realtime cascade",
    "no publication": "drop publication supabase_realtime",
}
ailments = pytest.mark.parametrize("ailment", AILMENTS.values(), ids=AILMENTS)


def book_and_hear(db: Database) -> None:
    """A paid booking goes through, and its notices go out by NOTIFY."""
    mechanic, customer = db.make_mechanic(), db.make_customer()
    ears = db.open()
    ears.execute(f'listen "mechanic:{mechanic}"'.encode())
    event = checkout(customer, mechanic)
    answer = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    assert answer["created"] is True
    request = answer["request_id"]
    rpc(db.connect(mechanic), "accept_session_request", request_id=request)
    eventually(lambda: db.value("select dispatch.deliver_events()") == 0)
    assert db.log(request) == ["priority_request", "request_accepted"]
    assert len(list(ears.notifies(timeout=60, stop_after=2))) == 2


@ailments
def test_transitions_go_on(db: Database, ailment: str) -> None:
    db.superuser().execute(ailment.encode())
    book_and_hear(db)


@pytest.fixture
def empty_db(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, "template1") as database:
        yield database


@pytest.mark.parametrize("ailment", further_but(["no send", "no realtime"], AILMENTS))
def test_the_install_goes_on(empty_db: Database, ailment: str) -> None:
    empty_db.superuser().execute(ailment.encode())
    for _ in range(2):
        install(empty_db.dsn())
    empty_db.sql("select dispatch.set_favorites_priority(true)")
    book_and_hear(empty_db)


def test_the_owner_may_be_denied_the_schema(db: Database) -> None:
    """Roles are the cluster's, so that all of this is in a transaction that is rolled back."""
    connection, mechanic = db.superuser(), db.make_mechanic()
    with connection.transaction(force_rollback=True):
        connection.execute(
            "revoke supabase_realtime_admin, pg_read_all_data from postgres;"
            "revoke usage on schema realtime from postgres cascade;"
            "revoke usage on schema realtime from anon, authenticated, service_role;"
            "set local role postgres"
        )
        db.make_request(preferred=mechanic, connection=connection)
        rows(connection, "select dispatch.deliver_events()")
        undelivered = "select count(*) from dispatch.request_events where delivered_at is null"
        assert value(connection, undelivered) == 0


# Many notices at once.


def book_three(db: Database) -> None:
    """Each for a favourite of its own, and announced together."""
    later = db.open()
    later.execute("set dispatch.delivery = 'later'")
    for _ in range(3):
        db.make_request(preferred=db.make_mechanic(), connection=later)
    assert db.value("select dispatch.deliver_events()") == 3


def test_what_is_announced_together_is_written_at_once(shared: Database) -> None:
    """`realtime.send` begins a subtransaction, with an id of its own, for each."""
    book_three(shared)
    written = shared.sql(
        "select count(*), count(distinct xmin::text) as ids from realtime.messages"
    )
    assert written == [{"count": 6, "ids": 1}]
    assert len(broadcasts(shared)) == 6


def test_a_send_that_is_not_known_sends_each(db: Database) -> None:
    """A later one may have more to do than to write the row."""
    db.superuser().execute(
        """
        create table realtime.sent (topic text);
        grant all on realtime.sent to postgres;
        create or replace function realtime.send(
            payload jsonb, event text, topic text, private boolean default true
        ) returns void language sql as $$
            insert into realtime.sent values (topic);
            insert into realtime.messages (id, payload, event, topic, private, extension)
            values (gen_random_uuid(), payload, event, topic, private, 'broadcast')
        $$
        """
    )
    book_three(db)
    assert db.sql("select topic from realtime.sent order by 1") == db.sql(
        "select topic from realtime.messages order by 1"
    )
    assert db.value("select count(*) from realtime.sent") == 6


def test_a_message_that_is_refused_takes_no_other_with_it(db: Database) -> None:
    db.superuser().execute("alter table realtime.messages add check (topic not like 'customer:%')")
    book_three(db)
    assert [topic.split(":")[0] for topic, _, _ in broadcasts(db)] == ["mechanic"] * 3


# The policies.


def test_the_policies_are_made_once_and_without_a_lock_again(db: Database) -> None:
    policies = db.sql(OURS)
    assert len(policies) == 4
    reader = db.open()
    with reader.transaction(force_rollback=True):
        rows(reader, "select * from realtime.messages")
        install(f"{db.dsn()}?options=-c%20lock_timeout%3D1s", ENGINE)
    assert db.sql(OURS) == policies
    install(db.dsn(), DOWN)
    assert db.sql(OURS) == policies


def test_a_policy_that_was_dropped_is_made_again(db: Database) -> None:
    policies = db.sql(OURS)
    db.sql("drop policy dispatch_topics_only on realtime.messages")
    install(db.dsn(), ENGINE)
    assert db.sql(OURS) == policies


def test_each_policy_says_what_it_is_for(shared: Database) -> None:
    found = shared.sql(
        "select polname, obj_description(oid, 'pg_policy') as comment from pg_policy"
        " where polrelid = 'realtime.messages'::regclass"
    )
    assert len(found) == 4 and all(row["comment"] for row in found), found


def test_one_permissive_policy_for_each_role_and_action(shared: Database) -> None:
    found = shared.sql(
        "select schemaname, tablename, cmd, role from pg_policies, unnest(roles) as role"
        " where permissive = 'PERMISSIVE' and schemaname in ('public', 'dispatch', 'realtime')"
    )
    assert found and len(found) == len({tuple(row.values()) for row in found})


@pytest.mark.parametrize("denied", ["create policy", "comment on policy"])
def test_an_install_that_may_not_make_policies_goes_on(empty_db: Database, denied: str) -> None:
    superuser = empty_db.superuser()
    if denied == "create policy":
        superuser.execute("alter table realtime.messages owner to supabase_admin")
    else:
        superuser.execute(
            """
            create function extensions.refuse_comments() returns event_trigger language plpgsql
            as $$ begin
                if exists (
                    select from pg_event_trigger_ddl_commands() where object_type = 'policy'
                ) then raise insufficient_privilege; end if;
            end $$;
            create event trigger refuse_comments on ddl_command_end when tag in ('COMMENT')
            execute function extensions.refuse_comments();
            """
        )
    install(empty_db.dsn())
    empty_db.sql("select dispatch.set_favorites_priority(true)")
    assert len(empty_db.sql(OURS)) == (0 if denied == "create policy" else 4)
    book_and_hear(empty_db)
    assert access(empty_db, FEED, Client(empty_db.make_customer())) == set()
