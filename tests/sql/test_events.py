"""The event log misses nothing, and each event is delivered at least once."""

import json
import threading
import time

import psycopg
import pytest

from tests.database import (
    Connection,
    Database,
    checkout,
    eventually,
    heard,
    listen,
    rows,
    rpc,
)

LOCK_CLASS = 1178687058  # see sql/engine/schemas.sql
HOLD = f"select pg_advisory_xact_lock({LOCK_CLASS}, -1)"
KEYS = {
    "event",
    "event_id",
    "request_id",
    "priority",
    "window_minutes",
    "window_ends_at",
    "session_type",
    "plan_code",
    "created_at",
}


def follow(connection: Connection, cursor: int) -> list[int]:
    found = rpc(connection, "list_session_request_events", after=cursor, max_rows=1000)
    return [row["event_id"] for row in found]


# Catch-up.


def test_an_event_that_commits_later_with_a_lower_id_is_not_missed(shared: Database) -> None:
    reader = shared.connect(shared.make_mechanic())
    early, late = shared.connect(role="service_role"), shared.connect(role="service_role")
    with early.transaction():
        first = shared.make_request(connection=early)
        with late.transaction():
            second = shared.make_request(connection=late)
        assert len(shared.events(second)) == 1  # committed, with the higher id
        assert follow(reader, 0) == []
        third = shared.make_request()
        assert follow(reader, 0) == []
    ids = [shared.events(each)[0]["id"] for each in (first, second, third)]
    assert follow(reader, 0) == ids == sorted(ids)


def test_what_is_below_an_open_transaction_is_listed_at_once(shared: Database) -> None:
    reader = shared.connect(shared.make_mechanic())
    settled = shared.make_request()
    writer = shared.connect(role="service_role")
    with writer.transaction(force_rollback=True):
        shared.make_request(connection=writer)
        assert len(follow(reader, 0)) == 1
    shared.make_request()
    found = follow(reader, 0)
    assert len(found) == 2 and found[0] == shared.events(settled)[0]["id"]


def test_a_writer_that_begins_while_a_reader_looks_does_not_empty_the_list(
    shared: Database,
) -> None:
    """Its floor is above what the reader took for the last id; no lower event may come of it."""
    shared.make_request()
    last = shared.value("select max(id) from dispatch.request_events")
    other = shared.open()
    # As if between the reader's two looks: the sequence went on, and a writer took its floor.
    with other.transaction():
        rows(other, "select pg_advisory_xact_lock_shared(%s, %s)", LOCK_CLASS, last + 5)
        assert shared.value("select dispatch.last_settled_event_id()") == last


def test_a_follower_of_eight_writers_misses_nothing(shared: Database) -> None:
    reader, stop = shared.connect(shared.make_mechanic()), threading.Event()
    customer = shared.make_customer()

    def write(connection: Connection) -> None:
        while not stop.is_set():
            with connection.transaction():
                shared.make_request(customer, connection=connection)
                shared.make_request(customer, connection=connection)

    writers = [
        threading.Thread(target=write, args=(shared.connect(role="service_role"),))
        for _ in range(8)
    ]
    for writer in writers:
        writer.start()
    seen: list[int] = []

    def keeps_up() -> bool:
        """It need not wait until the writers have stopped."""
        seen.extend(follow(reader, seen[-1] if seen else 0))
        return len(seen) > 500

    try:
        eventually(keeps_up)
    finally:
        stop.set()
    for writer in writers:
        writer.join()
    while more := follow(reader, seen[-1] if seen else 0):
        seen += more
    written = [row["id"] for row in shared.sql("select id from dispatch.request_events order by 1")]
    assert seen == written


def test_the_log_is_read_in_read_committed_only(shared: Database) -> None:
    reader = shared.connect(shared.make_mechanic())
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with reader.transaction(), pytest.raises(psycopg.errors.FeatureNotSupported):
        follow(reader, 0)
    # The same by another name.
    reader.isolation_level = psycopg.IsolationLevel.READ_UNCOMMITTED
    (event,) = shared.events(shared.make_request())
    with reader.transaction():
        assert event["id"] in follow(reader, 0)


def test_many_events_of_a_transaction_take_one_lock(shared: Database) -> None:
    """Of all the server's locks, which are few: a DBA may delete a hundred thousand requests."""
    locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    for _ in range(30):
        shared.make_request()
    reader, other = shared.connect(shared.make_mechanic()), shared.open()
    customer = shared.make_customer()
    with shared.owner.transaction():
        with shared.owner.transaction(force_rollback=True):
            shared.sql("update session_requests set status = 'cancelled'")
        shared.sql("delete from session_requests")
        assert shared.value(locks) <= 2  # the other is the right to send notices
        (later,) = shared.events(shared.make_request(customer, connection=other))
        assert follow(reader, 0) and later["id"] not in follow(reader, 0)
    assert follow(reader, 0) == [event["id"] for event in shared.events()]


# What whoever runs SQL can write decides nothing.

SETTINGS = r"""
    select distinct m.name[1] as name from pg_proc as p
    cross join regexp_matches(p.prosrc, 'current_setting\(''(dispatch\.\w+)''', 'g') as m (name)
    where p.pronamespace = 'dispatch'::regnamespace
"""


@pytest.mark.parametrize(
    "forged",
    [
        "pg_current_xact_id()",
        "last",
        "last + 1",
        "last + 1000",
        "last - 3",
        "last - 1073741829",  # its lock would mean a floor far above
        "-1",
        "repeat('9', 18)",
        "repeat('9', 30)",
        "''",
        "'now'",
        "'later'",
        "'0x'",
    ],
)
def test_a_forged_setting_decides_nothing(db: Database, forged: str) -> None:
    """By the webhook app's role: no event appears below a cursor, and each is delivered."""
    reader, customer = db.connect(db.make_mechanic()), db.make_customer()
    db.sql("select setval('dispatch.request_events_id_seq', 3000000000)")
    db.make_request(customer)
    names = [row["name"] for row in db.sql(SETTINGS)]
    assert "dispatch.delivery" in names
    forger = db.open("webhook_app")
    with forger.transaction():
        last = db.value("select last_value from dispatch.request_events_id_seq")
        for name in names:
            given = forged.replace("last", str(last))
            rows(forger, f"select set_config(%s, ({given})::text, true)", name)
        first = rpc(forger, "process_stripe_event", event=checkout(customer))
        second = rpc(forger, "process_stripe_event", event=checkout(customer))
        above = db.events(db.make_request(customer))[0]["id"]
        assert above not in follow(reader, 0)
    found = follow(reader, 0)
    assert found == [event["id"] for event in db.events()] and len(found) == 4
    assert first["outcome"] == second["outcome"] == "request_created"
    eventually(lambda: db.value("select dispatch.deliver_events()") == 0)
    assert all(event["delivered_at"] for event in db.events())


def test_a_lock_on_the_floor_stops_no_booking(shared: Database) -> None:
    """One that looks like a writer's stops the catch-up: docs/threat-model.md says so."""
    shared.make_request()
    last = shared.value("select last_value from dispatch.request_events_id_seq")
    keys = "generate_series(%s::bigint, %s) as k (key)"
    query = f"select pg_advisory_lock({LOCK_CLASS}, (k.key & 2147483647)::integer) from {keys}"
    rows(shared.open("webhook_app"), query, last - 20, last + 20)
    (event,) = shared.events(shared.make_request())
    assert event["id"] in follow(shared.connect(shared.make_mechanic()), 0)


# Delivery.


def test_each_topic_gets_each_event_by_notify_and_by_broadcast(shared: Database) -> None:
    customer, favourite = shared.make_customer(), shared.make_mechanic()
    topics = [f"customer:{customer}", f"mechanic:{favourite}", "session_requests_feed"]
    ears = listen(shared, *topics)
    request = shared.make_request(customer, favourite)
    time.sleep(0.03)  # past the pause between two inline deliveries
    rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    shared.value("select dispatch.deliver_events()")
    expected = [
        (topic, event["payload"]) for event in shared.events(request) for topic in event["topics"]
    ]
    assert heard(ears, len(expected)) == expected and len(expected) == 5
    messages = shared.sql(
        "select * from realtime.messages order by inserted_at, (payload->>'event_id')"
    )
    assert all(message["private"] for message in messages)
    sent = [(m["topic"], m["event"], m["payload"]) for m in messages]
    for _, _, payload in sent:
        payload.pop("id")
    assert sorted(sent, key=str) == sorted(
        ((topic, payload["event"], payload) for topic, payload in expected), key=str
    )
    assert all(event["delivered_at"] for event in shared.events())


def test_an_idle_systems_notice_leaves_with_the_commit(shared: Database) -> None:
    ears = listen(shared, "session_requests_feed")
    shared.make_request()
    assert len(heard(ears, 1)) == 1


def test_what_was_not_delivered_at_commit_is_delivered_by_the_loop(shared: Database) -> None:
    ears = listen(shared, "session_requests_feed")
    holder = shared.open()
    with holder.transaction():
        rows(holder, HOLD)
        request = shared.make_request()
    (event,) = shared.events(request)
    assert event["delivered_at"] is None
    assert shared.value("select dispatch.deliver_events()") == 1
    assert heard(ears, 1)[0][1] == event["payload"]
    assert shared.value("select dispatch.deliver_events()") == 0


def test_a_delivery_that_is_rolled_back_is_done_again(shared: Database) -> None:
    ears = listen(shared, "session_requests_feed")
    holder, crashed = shared.open(), shared.open()
    with holder.transaction():
        rows(holder, HOLD)
        shared.make_request()
    with crashed.transaction(force_rollback=True):
        rows(crashed, "select dispatch.deliver_events()")
        assert shared.value("select dispatch.deliver_events()") == 0  # being delivered
    assert shared.value("select dispatch.deliver_events()") == 1
    assert len(heard(ears, 1)) == 1


def test_delivery_is_batched_oldest_first(shared: Database) -> None:
    holder = shared.open()
    with holder.transaction():
        rows(holder, HOLD)
        for _ in range(5):
            shared.make_request()
    ears = listen(shared, "session_requests_feed")
    assert [shared.value("select dispatch.deliver_events(3)") for _ in range(3)] == [3, 2, 0]
    ids = [payload["event_id"] for _, payload in heard(ears, 5)]
    assert ids == sorted(ids)


def test_a_notice_waits_for_the_loop_when_one_was_sent_just_now(db: Database) -> None:
    db.sql(
        "create function public.deliver_first() returns trigger language plpgsql as $$ begin"
        " perform setval('dispatch.last_delivery',"
        " (date_part('epoch', clock_timestamp()) * 1000)::bigint); return new; end $$;"
        " create trigger deliver_first before insert on session_requests"
        " for each row execute function deliver_first()"
    )
    # On a busy machine that may be longer ago than it seems, though not each time.
    eventually(lambda: db.events(db.make_request())[0]["delivered_at"] is None)


def test_without_the_loop_a_later_notice_takes_along_what_was_left(shared: Database) -> None:
    left = [shared.make_request() for _ in range(3)]
    shared.sql("update dispatch.request_events set delivered_at = null")
    shared.value("select setval('dispatch.last_delivery', 1)")  # long ago
    ears = listen(shared, "session_requests_feed")
    last = shared.make_request()
    assert [payload["request_id"] for _, payload in heard(ears, 4)] == [*left, last]


def test_who_commits_in_two_phases_can_leave_the_notices_to_the_loop(shared: Database) -> None:
    """PostgreSQL prepares no transaction that notifies."""
    ears, backend = listen(shared, "session_requests_feed"), shared.connect(role="service_role")
    shared.sql("select setval('dispatch.last_delivery', 1)")  # long ago
    backend.execute("set dispatch.delivery = 'later'")
    shared.make_request(connection=backend)
    shared.owner.execute("select 1")
    assert not list(ears.notifies(timeout=0.2))
    shared.run_sweep(0.1)
    assert len(heard(ears, 1)) == 1


def test_the_loop_delivers_what_busy_transactions_left(shared: Database) -> None:
    ears = listen(shared, "session_requests_feed")
    with shared.owner.transaction():
        rows(shared.owner, "select setval('dispatch.last_delivery', 1)")
    for _ in range(20):
        shared.make_request()
    shared.run_sweep(0.1)
    assert len(heard(ears, 20)) == 20


@pytest.mark.parametrize("preferred", [True, False], ids=["window", "broadcast"])
def test_a_payload_is_small_and_names_nobody(shared: Database, preferred: bool) -> None:
    mechanic = shared.make_mechanic()
    shared.sql(
        "insert into service_plans (code, title, session_type, price_cents)"
        " values (%s, 'x', 'chat', 1)",
        "é" * 500,
    )
    event = checkout(
        shared.make_customer(),
        mechanic if preferred else None,
        plan="é" * 500,
        notes="secret" * 80,
        requested_brand="secret" * 80,
        customer_city="secret" * 80,
        priority_window_minutes="secret",
    )
    rpc(shared.connect(role="service_role"), "process_stripe_event", event=event)
    request = str(shared.value("select id from session_requests"))
    customer = str(shared.request(request)["customer_id"])
    if preferred:
        rpc(
            shared.connect(mechanic), "decline_session_request", request_id=request, reason="secret"
        )
    rpc(shared.connect(shared.make_mechanic()), "accept_session_request", request_id=request)
    for event_row in shared.sql(
        "select payload - 'decline_reason' as payload, event from dispatch.request_events"
    ):
        payload = event_row["payload"]
        text = json.dumps(payload, ensure_ascii=False)
        assert len(text.encode()) < 1024
        extra = {
            "new_request": {"is_fallback_broadcast", "reason"},
            "priority_request": {"reason"},
        }.get(event_row["event"], set())
        assert set(payload) >= KEYS and set(payload) - KEYS <= extra
        assert payload["event"] == event_row["event"] and payload["request_id"] == request
        assert not any(word in text for word in ("Zoe", "secret", "mail.example", customer))


def test_events_are_never_changed_by_what_follows(shared: Database) -> None:
    customer = shared.make_customer()
    request = shared.make_request(customer, shared.make_mechanic())
    before = shared.events(request)
    rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    eventually(lambda: shared.value("select dispatch.deliver_events()") == 0)
    (after, _) = shared.events(request)
    assert {k: after[k] for k in after if k != "delivered_at"} == {
        k: before[0][k] for k in after if k != "delivered_at"
    }
