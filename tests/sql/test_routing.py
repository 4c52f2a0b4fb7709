"""Where a new request goes is decided once, at insert, whichever way it is written."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.database import Database, Row, checkout, rpc

Write = Callable[..., str]


def by_webhook(db: Database, customer: str, preferred: str, **wish: object) -> str:
    event = checkout(customer, preferred, **wish)  # type: ignore[arg-type]
    answer = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    assert answer["outcome"] == "request_created" and answer["created"] is True
    return str(answer["request_id"])


def by_columns(db: Database, customer: str, preferred: str, **wish: object) -> str:
    return db.make_request(customer, preferred, wish.get("priority_window_minutes"))  # type: ignore[arg-type]


def by_metadata(db: Database, customer: str, preferred: str, **wish: object) -> str:
    wish = {"routing_type": "priority_broadcast", "preferred_mechanic_id": preferred} | wish
    connection = db.connect(role="service_role")
    return db.make_request(customer, connection=connection, metadata=wish)


def by_rpc(db: Database, customer: str, preferred: str, **wish: object) -> str:
    answer = rpc(
        db.connect(customer),
        "request_free_session",
        plan_code="free-diagnostic",
        preferred_mechanic_id=preferred,
        routing_type="priority_broadcast",
    )
    return str(answer["id"])


WAYS: list[Write] = [by_webhook, by_columns, by_metadata, by_rpc]
METADATA_WAYS: list[Write] = [by_webhook, by_metadata]


def assert_broadcast(request: Row) -> None:
    assert request["notification_sent_at"] == request["created_at"]
    assert request["expires_at"] is not None
    assert request["preferred_mechanic_id"] is None
    assert request["priority_window_minutes"] is None
    assert request["priority_notified_at"] is None


@pytest.mark.parametrize("write", WAYS)
def test_a_favourite_hears_first_however_it_is_written(shared: Database, write: Write) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    request_id = write(shared, customer, mechanic)
    request = shared.request(request_id)
    assert str(request["preferred_mechanic_id"]) == mechanic
    assert request["priority_window_minutes"] == 10
    assert request["priority_notified_at"] == request["created_at"]
    assert request["notification_sent_at"] is None and request["mechanic_id"] is None
    (event,) = shared.events(request_id)
    assert event["event"] == "priority_request"
    assert sorted(event["topics"]) == [f"customer:{customer}", f"mechanic:{mechanic}"]
    assert event["payload"]["priority"] is True and event["payload"]["window_minutes"] == 10


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("unknown_mechanic", None),
        ("not_approved", "pending"),
        ("not_approved", "suspended"),
        ("not_approved", "null"),
        ("own_request", "approved"),
        ("own_request", "pending"),
    ],
)
def test_a_favourite_who_cannot_be_had_is_skipped_with_the_reason(
    shared: Database, write: Write, reason: str, status: str | None
) -> None:
    customer = shared.make_customer()
    if status is None and write is by_columns:
        preferred = shared.make_customer()  # a user, and no mechanic
    elif status is None:
        preferred = "00000000-0000-4000-8000-000000000000"
    else:
        preferred = shared.make_mechanic(status=None if status == "null" else status)
        customer = preferred if reason == "own_request" else customer
    request_id = write(shared, customer, preferred)
    assert_broadcast(shared.request(request_id))
    assert shared.log(request_id) == [f"priority_skipped:{reason}", "new_request"]
    skipped, told = shared.events(request_id)
    assert skipped["topics"] == [f"customer:{customer}"]
    assert told["topics"] == [f"customer:{customer}", "session_requests_feed"]
    assert told["payload"]["is_fallback_broadcast"] is False


@pytest.mark.parametrize("write", METADATA_WAYS)
@pytest.mark.parametrize(
    ("skip", "online", "broadcast"),
    [
        ("true", True, False),
        ("true", False, True),
        ("false", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_an_offline_favourite_is_skipped_only_if_asked_for(
    shared: Database, write: Write, skip: str | None, online: bool, broadcast: bool
) -> None:
    mechanic = shared.make_mechanic(online=online)
    wish = {} if skip is None else {"skip_if_offline": skip}
    request_id = write(shared, shared.make_customer(), mechanic, **wish)
    expected = ["priority_skipped:offline", "new_request"] if broadcast else ["priority_request"]
    assert shared.log(request_id) == expected


@pytest.mark.parametrize("write", METADATA_WAYS)
@pytest.mark.parametrize("minutes", ["1", "10", "59", "60"])
def test_a_good_window_is_kept(shared: Database, write: Write, minutes: str) -> None:
    request_id = write(
        shared, shared.make_customer(), shared.make_mechanic(), priority_window_minutes=minutes
    )
    assert shared.request(request_id)["priority_window_minutes"] == int(minutes)
    assert shared.log(request_id) == ["priority_request"]


BAD_WINDOWS = ["0", "61", "-1", "abc", "", "1e1", " 10", "10 ", "010", "9" * 500, "10\n", "１０"]


@pytest.mark.parametrize(
    ("write", "minutes"),
    [(way, minutes) for way in METADATA_WAYS for minutes in BAD_WINDOWS]
    + [(by_columns, minutes) for minutes in (0, 61, -1, 2**31 - 1)],
)
def test_a_bad_window_counts_as_ten_and_the_log_says_so(
    shared: Database, write: Write, minutes: Any
) -> None:
    request_id = write(
        shared, shared.make_customer(), shared.make_mechanic(), priority_window_minutes=minutes
    )
    assert shared.request(request_id)["priority_window_minutes"] == 10
    assert shared.log(request_id) == ["priority_request:invalid_window"]


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"preferred_mechanic_id": "not-a-uuid"}, "unknown_mechanic"),
        ({"preferred_mechanic_id": ""}, "unknown_mechanic"),
        ({"preferred_mechanic_id": "null"}, "unknown_mechanic"),
        ({"preferred_mechanic_id": "'; drop table mechanics --"}, "unknown_mechanic"),
        ({"preferred_mechanic_id": None}, "unknown_mechanic"),
        ({"routing_type": "broadcast"}, None),
        ({"routing_type": ""}, None),
        ({"routing_type": "PRIORITY"}, None),
        ({"routing_type": None}, None),
    ],
)
@pytest.mark.parametrize("write", METADATA_WAYS)
def test_a_wish_that_is_none_is_broadcast(
    shared: Database, write: Write, wish: Row, reason: str | None
) -> None:
    request_id = write(shared, shared.make_customer(), shared.make_mechanic(), **wish)
    assert_broadcast(shared.request(request_id))
    skipped = [f"priority_skipped:{reason}"] if reason else []
    assert shared.log(request_id) == [*skipped, "new_request"]


def test_the_wish_leaves_the_metadata_and_the_rest_stays(shared: Database) -> None:
    request_id = by_metadata(
        shared, shared.make_customer(), shared.make_mechanic(), skip_if_offline="true", kept="yes"
    )
    assert shared.request(request_id)["metadata"] == {"kept": "yes"}


def test_a_writer_cannot_say_that_the_favourite_will_be_told_later(shared: Database) -> None:
    request_id = shared.make_request(
        preferred=shared.make_mechanic(), priority_notified_at="2999-01-01"
    )
    request = shared.request(request_id)
    assert request["priority_notified_at"] == request["created_at"]


def test_a_favourite_needs_no_broadcast_column_and_gets_no_mechanic_yet(shared: Database) -> None:
    mechanic, other = shared.make_mechanic(), shared.make_mechanic()
    request_id = shared.make_request(
        preferred=mechanic, mechanic_id=other, notification_sent_at="2020-01-01"
    )
    request = shared.request(request_id)
    assert request["mechanic_id"] is None and request["notification_sent_at"] is None


@pytest.mark.parametrize("status", ["accepted", "completed", "expired", "cancelled"])
def test_a_row_imported_with_another_state_is_offered_to_nobody(
    shared: Database, status: str
) -> None:
    request_id = shared.make_request(status=status, mechanic_id=shared.make_mechanic())
    assert not [event for event in shared.events(request_id) if event["topics"]]


@pytest.mark.parametrize("role", ["postgres", "service_role"])
def test_the_platform_alone_broadcasts(engine_db: Database, role: str) -> None:
    customer = engine_db.make_customer()
    connection = engine_db.connect(role=role)
    request_id = engine_db.make_request(
        customer,
        connection=connection,
        metadata={"routing_type": "priority_broadcast", "kept": 1},
    )
    request = engine_db.request(request_id)
    assert request["notification_sent_at"] == request["created_at"]
    assert request["metadata"] == {"kept": 1}
    assert engine_db.log(request_id) == ["new_request"]


def test_of_a_payment_the_platform_alone_keeps_stripes_ids(engine_db: Database) -> None:
    request_id = by_webhook(engine_db, engine_db.make_customer(), str(uuid4()), notes="private")
    assert set(engine_db.request(request_id)["metadata"]) == {
        "stripe_checkout_session_id",
        "stripe_payment_intent",
    }
