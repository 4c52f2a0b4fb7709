"""What comes after a payment, and instead of one: each is told to whoever must know of it."""

import itertools
import json
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from stack.clients import Event, stripe_event
from stack.install import ENGINE, install
from tests.database import Database, Row, checkout, refund, refused, rows, rpc
from tests.further import further_but

COMPLETED = "checkout.session.completed"
SUCCEEDED = "checkout.session.async_payment_succeeded"
FAILED = "checkout.session.async_payment_failed"
TRIGGER = """
create function theirs() returns trigger language plpgsql as 'begin {}; end';
create trigger theirs before insert on session_requests for each row execute function theirs()
"""
DEFERRED = TRIGGER.replace("create trigger theirs before", "create constraint trigger theirs after")
DEFERRED = DEFERRED.replace("for each row", "deferrable initially deferred for each row")


def process(db: Database, event: Event) -> Row:
    answer: Row = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    return answer


def outcome(db: Database, event: Event) -> str:
    return str(process(db, event)["outcome"])


def unwell(db: Database, at: object = None) -> dict[str, str]:
    """The rows about payments that are false, and what they say."""
    query = "select * from dispatch.payment_checks(coalesce(%s, now()))"
    return {row["check_name"]: row["detail"] for row in db.sql(query, at) if not row["ok"]}


def unsettled(db: Database, at: object = None) -> list[tuple[str, str]]:
    query = "select * from dispatch.unsettled_requests(coalesce(%s, now())) order by since"
    return [(row["reason"], row["payment_intent"]) for row in db.sql(query, at)]


def failed_refund(payment: str, kind: str = "refund.failed", status: str = "failed") -> Event:
    return stripe_event(kind, id="re_1", object="refund", payment_intent=payment, status=status)


def dispute(payment: str, state: str, status: str = "needs_response", name: str = "du_1") -> Event:
    kind = f"charge.dispute.{state}"
    return stripe_event(kind, id=name, object="dispute", payment_intent=payment, status=status)


def at(second: int, event: Event) -> Event:
    """Made by Stripe at this time, whenever it comes."""
    return event | {"created": 1_700_000_000 + second}


def paid(db: Database, payment: str = "pi_1", state: str = "pending", **fields: Any) -> str:
    """A paid request in this state; its id."""
    event = checkout(db.make_customer(), payment=payment)
    event["data"]["object"] |= fields
    request = str(process(db, event)["request_id"])
    if state in ("accepted", "completed"):
        rpc(db.connect(db.make_mechanic()), "accept_session_request", request_id=request)
    if state not in ("pending", "accepted"):
        db.sql(
            "update session_requests set status = %s::session_request_status where id = %s",
            state,
            request,
        )
    return request


# The page after the Checkout.


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], None),
        ([(COMPLETED, "unpaid")], "waiting_for_payment"),
        ([(COMPLETED, "unpaid"), (FAILED, "unpaid")], "payment_failed"),
        ([(FAILED, "unpaid"), (COMPLETED, "unpaid")], "payment_failed"),
        ([(COMPLETED, "unpaid"), (SUCCEEDED, "paid")], "booked"),
        ([(SUCCEEDED, "paid"), (COMPLETED, "unpaid")], "booked"),
        ([("checkout.session.expired", "unpaid")], None),
    ],
    ids=lambda value: (
        " ".join(kind.rpartition(".")[2] for kind, _ in value)
        if isinstance(value, list)
        else str(value)
    ),
)
def test_the_customer_hears_what_became_of_their_checkout(
    shared: Database, events: list[tuple[str, str]], status: str | None
) -> None:
    customer = shared.make_customer()
    for kind, payment_status in events:
        process(
            shared, checkout(customer, kind=kind, payment_status=payment_status, session="cs_1")
        )
    asked = {"checkout_session_id": "cs_1"}
    theirs = shared.connect(customer)
    assert rpc(theirs, "get_checkout_status", **asked) == status
    request = rpc(theirs, "get_session_request_by_checkout", **asked)
    assert (request is None) == (status != "booked")
    if request:
        assert request["status"] == "pending" and "stripe" not in json.dumps(request)

    # Nobody else, and not without a name.
    for other in (shared.make_customer(), shared.make_mechanic()):
        stranger = shared.connect(other)
        assert rpc(stranger, "get_checkout_status", **asked) is None
        assert rpc(stranger, "get_session_request_by_checkout", **asked) is None
    for function in ("get_checkout_status", "get_session_request_by_checkout"):
        with refused("PT401", "not_signed_in"):
            rpc(shared.connect(), function, **asked)
        assert rpc(theirs, function, checkout_session_id=None) is None


def test_a_paid_session_that_cannot_be_booked_is_said_to_be_in_error(shared: Database) -> None:
    customer = shared.make_customer()
    event = checkout(None, reference=customer, plan=None, session="cs_1")
    assert outcome(shared, event) == "ignored"  # another product's
    assert rpc(shared.connect(customer), "get_checkout_status", checkout_session_id="cs_1") is None
    event = checkout(customer, plan="gold", session="cs_2")
    assert outcome(shared, event) == "error"
    asked = {"checkout_session_id": "cs_2"}
    assert rpc(shared.connect(customer), "get_checkout_status", **asked) == "error"
    shared.sql("insert into service_plans values ('gold', 'Gold', 'video', 1)")
    shared.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert rpc(shared.connect(customer), "get_checkout_status", **asked) == "booked"


@pytest.mark.parametrize("state", ["pending", "completed"])
def test_a_paid_session_that_was_deleted_is_not_waited_for(shared: Database, state: str) -> None:
    customer = shared.make_customer()
    process(shared, checkout(customer, session="cs_1", payment_status="unpaid"))
    answer = process(shared, checkout(customer, session="cs_1"))
    assert answer["outcome"] == "request_created"
    if state == "completed":
        mechanic = shared.connect(shared.make_mechanic())
        for call in ("accept_session_request", "complete_session_request"):
            rpc(mechanic, call, request_id=answer["request_id"])
    asked = {"checkout_session_id": "cs_1"}
    shared.sql("delete from session_requests")
    assert shared.value("select dispatch.scrub_stripe_events('1 day')") == 2
    for caller, status in ((customer, "removed"), (shared.make_customer(), None)):
        connection = shared.connect(caller)
        assert rpc(connection, "get_checkout_status", **asked) == status
        assert rpc(connection, "get_session_request_by_checkout", **asked) is None


def test_a_booked_session_of_a_deleted_account_is_not_tried_for_days(shared: Database) -> None:
    customer = shared.make_customer()
    request_id = process(shared, checkout(customer, session="cs_1"))["request_id"]
    shared.sql("delete from auth.users where id = %s", customer)
    later = checkout(customer, session="cs_1")
    assert outcome(shared, later) == "error"
    shared.value("select dispatch.scrub_stripe_events('1 day')")
    answer = {"outcome": "duplicate", "request_id": request_id, "created": False}
    assert process(shared, later) == answer
    assert not unwell(shared).keys() - {"refunds_due"}


# Whose refund is due, and who waits in vain.


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_refund_is_due_until_it_is_made(shared: Database, state: str) -> None:
    paid(shared, state=state)
    paid(shared, "pi_2", state="completed")
    shared.sql("update session_requests set metadata = '{}' where status = 'completed'")
    shared.make_request(status="cancelled")  # free
    assert unsettled(shared) == [(state, "pi_1")]
    found = unwell(shared)
    assert set(found) == {"refunds_due"} and found["refunds_due"].startswith("1 paid requests")
    process(shared, refund("pi_1"))
    assert unsettled(shared) == [] and unwell(shared) == {}


@pytest.mark.parametrize("state", ["pending", "accepted", "completed", "cancelled", "expired"])
def test_the_customer_hears_what_becomes_of_the_money(shared: Database, state: str) -> None:
    request = paid(shared, state=state, amount_total=1500, currency="jpy")
    customer = shared.request(request)["customer_id"]
    free = shared.make_request(customer, status="cancelled")
    other = paid(shared, "pi_2")
    asked = {"request_ids": f"{{{request},{free},{other},{uuid.uuid4()}}}"}

    def told(who: str) -> list[tuple[object, ...]]:
        found = rpc(shared.connect(who), "list_session_request_payments", **asked)
        keys = ("request_id", "status", "amount_total", "currency")
        return [tuple(row[key] for key in keys) for row in found]

    is_over = state in ("cancelled", "expired")
    assert told(customer) == [(request, "refund_due" if is_over else "paid", 1500, "jpy")]
    assert told(shared.make_mechanic()) == []
    process(shared, at(1, refund("pi_1")))
    assert told(customer) == [(request, "refunded", 1500, "jpy")]
    process(shared, at(2, failed_refund("pi_1")))
    if state != "pending":  # which the refund cancelled
        assert told(customer) == [(request, "refund_due" if is_over else "paid", 1500, "jpy")]


def test_nothing_is_due_of_what_cost_nothing(shared: Database) -> None:
    event = checkout(shared.make_customer(), payment=None, payment_status="no_payment_required")
    event["data"]["object"] |= {"payment_intent": None, "amount_total": 0, "currency": "usd"}
    request = process(shared, event)["request_id"]
    customer = shared.connect(shared.request(request)["customer_id"])
    rpc(customer, "cancel_session_request", request_id=request)
    asked = {"request_ids": f"{{{request}}}"}
    (payment,) = rpc(customer, "list_session_request_payments", **asked)
    assert (payment["status"], payment["amount_total"]) == ("paid", 0)


def test_the_refund_of_what_its_customer_cancelled_is_due(shared: Database) -> None:
    request = paid(shared)
    customer = shared.request(request)["customer_id"]
    rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    assert unsettled(shared) == [("cancelled", "pi_1")]


def test_a_mechanic_s_account_is_gone_after_the_accept(shared: Database) -> None:
    request = paid(shared, state="accepted")
    row = shared.request(request)
    customer = shared.connect(row["customer_id"])
    with refused("PT409", "request_not_pending"):
        rpc(customer, "cancel_session_request", request_id=request)
    assert unsettled(shared) == []
    shared.sql("delete from auth.users where id = %s", row["mechanic_id"])
    assert shared.request(request)["status"] == "accepted"
    assert unsettled(shared) == [("mechanic_gone", "pi_1")]
    assert set(unwell(shared)) == {"requests_have_mechanic"}

    stranger = shared.connect(shared.make_customer())
    with refused("PT403", "not_yours"):
        rpc(stranger, "cancel_session_request", request_id=request)
    rpc(customer, "cancel_session_request", request_id=request)
    last = shared.events(request)[-1]
    assert (last["event"], last["payload"]["reason"]) == ("request_cancelled", "cancelled")
    assert last["topics"] == [f"customer:{row['customer_id']}"]
    assert unsettled(shared) == [("cancelled", "pi_1")]
    with refused("PT410", "request_cancelled"):
        rpc(customer, "cancel_session_request", request_id=request)


def test_one_who_is_no_mechanic_any_more_does_not_come_either(shared: Database) -> None:
    """Their account is there, and what they accepted still names it."""
    request = paid(shared, state="accepted")
    row = shared.request(request)
    shared.sql("delete from mechanics where id = %s", row["mechanic_id"])
    assert shared.request(request)["mechanic_id"] == row["mechanic_id"]
    assert unsettled(shared) == [("mechanic_gone", "pi_1")]
    rpc(shared.connect(row["customer_id"]), "cancel_session_request", request_id=request)


def test_what_was_accepted_a_day_ago_and_not_completed(shared: Database) -> None:
    request = paid(shared, state="accepted")
    accepted_at = shared.request(request)["accepted_at"]
    day = shared.value("select interval '24 hours'")
    assert unsettled(shared, accepted_at + day) == []
    late = shared.value("select %s + interval '24 hours 1 microsecond'", accepted_at)
    assert unsettled(shared, late) == [("not_completed", "pi_1")]
    assert set(unwell(shared, late)) == {"requests_completed"}
    mechanic = shared.connect(shared.request(request)["mechanic_id"])
    rpc(mechanic, "complete_session_request", request_id=request)
    assert unsettled(shared, late) == []


# Refunds that fail, and disputes.


@pytest.mark.parametrize(
    "failure",
    [
        failed_refund("pi_1"),
        failed_refund("pi_1", "refund.updated"),
        failed_refund("pi_1", "refund.updated", "canceled"),
        failed_refund("pi_1", "charge.refund.updated"),
    ],
    ids=lambda event: event["type"] + " " + event["data"]["object"]["status"],
)
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the refund comes late"])
@pytest.mark.parametrize("state", ["cancelled", "completed"])
def test_a_refund_that_failed_is_due_again(
    shared: Database, failure: Event, late: bool, state: str
) -> None:
    request = paid(shared, state=state)
    events = [at(1, refund("pi_1")), at(2, failure)]
    for event in reversed(events) if late else events:
        process(shared, event)
    assert "refunded_at" not in shared.request(request)["metadata"]
    assert unsettled(shared) == [("refund_failed", "pi_1")]
    assert set(unwell(shared)) == {"refunds_due"}
    # And again, which holds. The failure repeated changes nothing.
    assert outcome(shared, at(3, refund("pi_1"))) == "refunded"
    for second in (2, 4):
        again = at(second, failure | {"id": f"evt_again_{second}"})
        assert outcome(shared, again) == "duplicate"
    assert "refunded_at" in shared.request(request)["metadata"]
    assert unsettled(shared) == [] and unwell(shared) == {}


@pytest.mark.parametrize("is_gone", [False, True], ids=["", "gone"])
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the later comes first"])
def test_a_part_that_failed_to_be_refunded_is_due_until_it_is(
    shared: Database, late: bool, is_gone: bool
) -> None:
    request = paid(shared, state="completed")
    again = part(at(4, refund("pi_1", full=False)), 999, amount_refunded=500)
    events = [
        part(at(1, refund("pi_1", full=False)), 999, amount_refunded=500),
        part(at(2, failed_refund("pi_1")), 300),
        # Of that part less: what failed is still to come.
        part(at(3, refund("pi_1", full=False)), 999, amount_refunded=250),
    ]
    for event in reversed(events) if late else events:
        process(shared, event)
    if is_gone:
        shared.sql("delete from session_requests where id = %s", request)
        shared.sql("select dispatch.scrub_stripe_events('180 days')")
    assert unsettled(shared) == [("refund_failed", "pi_1")]
    assert outcome(shared, again) == "ignored"
    assert unsettled(shared) == []


def test_what_was_read_before_a_refund_does_not_take_it_back(shared: Database) -> None:
    """Or the request would go out again, and somebody work for what was paid back."""
    mechanic = shared.make_mechanic()
    request = paid(shared)
    rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
    before = shared.request(request)["metadata"]
    process(shared, refund("pi_1"))
    shared.connect(role="service_role").execute(
        "insert into session_requests (id, customer_id, session_type, metadata)"
        " select id, customer_id, session_type, %s from session_requests"
        " on conflict (id) do update set metadata = excluded.metadata",
        [Jsonb(before)],
    )
    assert shared.value("select is_refunded from dispatch.payments")
    rpc(shared.connect(mechanic), "release_session_request", request_id=request)
    assert shared.log(request)[-1] == "request_cancelled:refunded"


def test_what_was_read_before_a_refund_failed_does_not_say_that_it_was_one(
    shared: Database,
) -> None:
    """Or nobody would be told that the customer waits for the money."""
    request = paid(shared, state="cancelled")
    process(shared, at(1, refund("pi_1")))
    before = shared.request(request)["metadata"]
    process(shared, at(2, failed_refund("pi_1")))
    shared.connect(role="service_role").execute(
        "update session_requests set metadata = %s", [Jsonb(before)]
    )
    assert unsettled(shared) == [("refund_failed", "pi_1")]
    # What the owner says since, as the runbook has it, holds.
    shared.sql(
        "update session_requests"
        " set metadata = metadata || jsonb_build_object('refunded_at', now())"
    )
    assert unsettled(shared) == []


@pytest.mark.parametrize("metadata", ['{"color": "blue"}', "{}", "[]", "null", '"checkout"'])
def test_metadata_of_a_backends_own_leaves_what_was_paid(shared: Database, metadata: str) -> None:
    event = checkout(shared.make_customer(), payment="pi_1")
    request = process(shared, event)["request_id"]
    payment = shared.sql("select * from dispatch.payments")
    shared.connect(role="service_role").execute(
        "update session_requests set metadata = %s", [metadata]
    )
    assert shared.sql("select * from dispatch.payments") == payment
    assert ("color" in shared.request(request)["metadata"]) == ("color" in metadata)
    assert outcome(shared, event | {"id": "evt_again", "type": SUCCEEDED}) == "duplicate"
    process(shared, refund("pi_1"))
    assert shared.request(request)["status"] == "cancelled"


@pytest.mark.parametrize(
    "metadata", ['["stripe_checkout_session_id"]', '"stripe_checkout_session_id"']
)
def test_metadata_that_is_no_object_can_be_written_over(shared: Database, metadata: str) -> None:
    request = shared.make_request()
    for each in (metadata, '{"color": "blue"}'):
        shared.sql("update session_requests set metadata = %s", each)
    assert shared.request(request)["metadata"] == {"color": "blue"}


def test_a_refund_whose_failure_is_known_does_not_cancel(shared: Database) -> None:
    request = paid(shared)
    assert outcome(shared, at(2, failed_refund("pi_1"))) == "refund_failed"
    assert outcome(shared, at(1, refund("pi_1"))) == "refund_failed"
    assert shared.request(request)["status"] == "pending"
    # Nor one that came before its payment.
    for event in (at(1, refund("pi_2")), at(2, failed_refund("pi_2"))):
        process(shared, event)
    assert shared.request(paid(shared, "pi_2"))["status"] == "pending"


@pytest.mark.parametrize("status", ["pending", "succeeded", "requires_action", None])
def test_a_refund_that_has_not_failed_is_no_news(shared: Database, status: Any) -> None:
    paid(shared, state="cancelled")
    process(shared, refund("pi_1"))
    assert outcome(shared, failed_refund("pi_1", "refund.updated", status)) == "ignored"
    assert unsettled(shared) == []


def test_a_part_that_is_not_given_back_is_seen(shared: Database) -> None:
    """A partial refund cancels nothing; that it failed is seen all the same."""
    paid(shared)
    assert outcome(shared, refund("pi_1", full=False)) == "ignored"
    assert outcome(shared, failed_refund("pi_1")) == "refund_failed"
    assert unsettled(shared) == [("refund_failed", "pi_1")]


@pytest.mark.parametrize("late", [False, True], ids=["in order", "its end comes first"])
@pytest.mark.parametrize("status", ["won", "warning_closed", "lost"])
def test_a_dispute_is_seen_until_its_end(shared: Database, late: bool, status: str) -> None:
    request = paid(shared, state="completed")
    other = dispute("pi_1", "created", name="du_2")
    assert outcome(shared, other) == "disputed"
    events = [dispute("pi_1", "created"), dispute("pi_1", "closed", status)]
    if not late:
        assert outcome(shared, events[0]) == "disputed"
        assert unsettled(shared) == [("disputed", "pi_1")]
        assert set(unwell(shared)) == {"payments_undisputed"}
        assert outcome(shared, stripe_event("charge.dispute.updated", id="du_1")) == "ignored"
    for event in reversed(events) if late else events[1:]:
        process(shared, event)
    assert unsettled(shared) == [("disputed", "pi_1")]
    process(shared, dispute("pi_1", "closed", status, "du_2"))
    assert unsettled(shared) == [] and unwell(shared) == {}
    # The bank has taken the money back.
    assert ("refunded_at" in shared.request(request)["metadata"]) == (status == "lost")


def test_what_a_lost_dispute_took_back_is_not_due(shared: Database) -> None:
    paid(shared, state="cancelled")
    process(shared, dispute("pi_1", "closed", "lost"))
    assert unsettled(shared) == []


@pytest.mark.parametrize("state", ["pending", "accepted", "cancelled"])
@pytest.mark.parametrize(
    ("fields", "is_part"),
    [
        ({"amount": 400, "currency": "usd"}, True),
        ({"amount": 999, "currency": "usd"}, False),
        # In another currency, or not told: as all of it.
        ({"amount": 400, "currency": "eur"}, False),
        ({"amount": None, "currency": "usd"}, False),
        ({}, False),
    ],
)
def test_a_lost_dispute_over_a_part_takes_back_no_more(
    shared: Database, state: str, fields: Row, is_part: bool
) -> None:
    request = paid(shared, state=state, amount_total=999, currency="usd")
    events = [
        at(1, dispute("pi_1", "created")),
        at(2, dispute("pi_1", "closed", "lost")),
        at(3, dispute("pi_1", "created")),
    ]
    for event in events:
        event["data"]["object"] |= fields
    assert outcome(shared, events[0]) == "disputed"
    lost = "dispute_lost_in_part" if is_part else "dispute_lost"
    assert [outcome(shared, event) for event in events[1:]] == [lost, lost]
    assert shared.value("select is_refunded from dispatch.payments") == (not is_part)
    due = [("cancelled", "pi_1")] if is_part and state == "cancelled" else []
    assert unsettled(shared) == due
    is_over = state == "cancelled" or (state == "pending" and not is_part)
    assert (shared.request(request)["status"] == "cancelled") == is_over
    # The bank decides once more: all of it is the customer's, or none.
    again = at(4, dispute("pi_1", "closed", "won"))
    assert outcome(shared, again) == "dispute_won"
    assert not shared.value("select is_refunded from dispatch.payments")


def test_what_was_taken_back_in_a_database_that_is_strict(db: Database) -> None:
    """Some set this for functions of their own: to take the first of several rows is an error."""
    paid(db, amount_total=999, currency="usd")
    strict = f"alter database {db.name} set plpgsql.extra_errors = 'all'"
    db.superuser().execute(strict.encode())
    for event, expected in [
        (at(1, dispute("pi_1", "created")), "disputed"),
        (at(2, dispute("pi_1", "closed", "lost")), "dispute_lost"),
        (at(3, dispute("pi_1", "created")), "dispute_lost"),
        # Taken back twice before it was booked.
        (refund("pi_2"), "refunded"),
        (refund("pi_2"), "refunded"),
        (checkout(db.make_customer(), payment="pi_2"), "request_created"),
    ]:
        assert outcome(db, event) == expected


def part(event: Event, amount: int, **fields: object) -> Event:
    """Of a payment of 999."""
    event["data"]["object"] |= {"amount": amount, "currency": "usd"} | fields
    return event


# Each gives back a part; all of them are the whole.
PARTS: dict[str, list[Event]] = {
    "two disputes": [
        part(at(1, dispute("pi_1", "closed", "lost", "du_1")), 400),
        part(at(2, dispute("pi_1", "closed", "lost", "du_2")), 599),
    ],
    "a dispute and a refund": [
        part(at(1, dispute("pi_1", "closed", "lost", "du_1")), 400),
        part(at(2, refund("pi_1", full=False)), 999, amount_refunded=599),
    ],
    "two refunds and a dispute": [
        part(at(1, refund("pi_1", full=False)), 999, amount_refunded=300),
        part(at(2, refund("pi_1", full=False)), 999, amount_refunded=500),
        part(at(3, dispute("pi_1", "closed", "lost", "du_1")), 499),
    ],
}


@pytest.mark.parametrize("booked", ["first", "last", "between"])
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the later comes first"])
@pytest.mark.parametrize("parts", PARTS)
def test_parts_that_are_all_of_it_are_the_whole(
    shared: Database, parts: str, late: bool, booked: str
) -> None:
    # A refund says what all of them come to: the last two say it all.
    events = PARTS[parts][:-3:-1] if late else list(PARTS[parts])
    session = checkout(shared.make_customer(), payment="pi_1")
    session["data"]["object"] |= price(999)
    events.insert({"first": 0, "last": len(events), "between": 1}[booked], session)
    refunded = "select is_refunded from dispatch.payments"
    for event in events[:-1]:
        process(shared, event)
        assert shared.sql(refunded) in ([], [{"is_refunded": False}])
        process(shared, event)
    process(shared, events[-1])
    assert shared.value(refunded)
    (request,) = shared.sql("select * from session_requests")
    assert request["status"] == "cancelled" and "refunded_at" in request["metadata"]
    assert shared.log()[-1] == "request_cancelled:refunded"
    assert unsettled(shared) == []
    # The bank decides once more, and a part is the whole no longer.
    process(shared, part(at(9, dispute("pi_1", "closed", "won", "du_1")), 1))
    assert not shared.value(refunded) and unsettled(shared) == [("cancelled", "pi_1")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_part_that_held_counts_though_another_failed(
    shared: Database, order: tuple[int, ...]
) -> None:
    request = paid(shared, **price(999))
    events = [
        part(at(1, refund("pi_1", full=False)), 999, amount_refunded=400),
        part(at(2, refund("pi_1", full=False)), 999, amount_refunded=700),
        part(at(3, failed_refund("pi_1")), 300),
        part(at(4, dispute("pi_1", "closed", "lost")), 599),
    ]
    for number in order:
        process(shared, events[number])
    assert shared.value("select is_refunded from dispatch.payments")
    assert shared.request(request)["status"] == "cancelled"
    assert unsettled(shared) == []


@pytest.mark.parametrize("amount", [400, 999])
def test_a_lost_dispute_that_comes_before_its_payment_is_of_its_sum(
    shared: Database, amount: int
) -> None:
    process(shared, part(dispute("pi_1", "closed", "lost"), amount))
    request = paid(shared, **price(999))
    state = "pending" if amount == 400 else "cancelled"
    assert shared.request(request)["status"] == state
    assert shared.value("select is_refunded from dispatch.payments") == (amount == 999)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_part_that_was_lost_is_no_more_for_a_refund_of_all(
    shared: Database, order: tuple[int, ...]
) -> None:
    session = checkout(shared.make_customer(), payment="pi_1")
    session["data"]["object"] |= price(999)
    lost = part(at(1, dispute("pi_1", "closed", "lost")), 400)
    events = [session, lost, at(2, refund("pi_1"))]
    for number in order:
        process(shared, events[number])
    outcome_of = "select outcome from dispatch.stripe_events where id = %s"
    assert shared.value(outcome_of, lost["id"]) == "dispute_lost_in_part"
    assert shared.value("select is_refunded from dispatch.payments")


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 1, 0], [0, 3, 1, 2]])
@pytest.mark.parametrize("state", ["cancelled", "accepted", "pending"])
def test_what_a_lost_dispute_took_back_stays_so_though_a_refund_fails(
    shared: Database, state: str, order: list[int]
) -> None:
    """Stripe lets the refund of a disputed payment fail; paying it back again would be twice."""
    paid(shared, state=state)
    events = [
        at(1, refund("pi_1")),
        at(2, dispute("pi_1", "created")),
        at(3, failed_refund("pi_1")),
        at(4, dispute("pi_1", "closed", "lost")),
    ]
    for number in order:
        process(shared, events[number])
        process(shared, events[number])
    assert unsettled(shared) == [] and unwell(shared) == {}
    assert shared.value("select is_refunded from dispatch.payments")


@pytest.mark.parametrize("late", [False, True], ids=["in order", "the later comes first"])
@pytest.mark.parametrize("is_refunded", [False, True])
def test_a_bank_takes_back_what_it_decided(shared: Database, late: bool, is_refunded: bool) -> None:
    paid(shared, state="cancelled")
    if is_refunded:
        process(shared, refund("pi_1"))
    events = [
        at(1, dispute("pi_1", "created")),
        at(2, dispute("pi_1", "closed", "lost")),
        at(3, dispute("pi_1", "closed", "won")),
    ]
    for event in reversed(events) if late else events:
        process(shared, event)
    assert unsettled(shared) == ([] if is_refunded else [("cancelled", "pi_1")])
    process(shared, at(4, dispute("pi_1", "closed", "lost")))
    assert unsettled(shared) == []


@pytest.mark.parametrize("state", ["created", "closed"])
def test_what_a_card_network_paid_back_by_itself_is_not_due(shared: Database, state: str) -> None:
    paid(shared, state="expired")
    assert outcome(shared, dispute("pi_1", state, "prevented")) == "dispute_lost"
    assert unsettled(shared) == []


@pytest.mark.parametrize("whole", ["payment", "refund", "both"])
def test_a_payment_is_known_by_its_id_however_much_of_it_is_sent(
    shared: Database, whole: str
) -> None:
    payment = {"id": "pi_1", "object": "payment_intent", "amount": 999}
    fields: Row = {"payment_intent": payment} if whole != "refund" else {}
    request = paid(shared, **fields)
    event = refund("pi_1")
    if whole != "payment":
        event["data"]["object"]["payment_intent"] = payment | {"status": "succeeded"}
    assert outcome(shared, event) == "refunded"
    assert shared.request(request)["status"] == "cancelled"
    assert shared.value("select payment_intent from dispatch.payments") == "pi_1"


@pytest.mark.parametrize("plan", ["quick-chat", "gold"], ids=["late", "in error"])
def test_what_a_lost_dispute_took_back_before_it_was_booked_is_offered_to_nobody(
    shared: Database, plan: str
) -> None:
    event = checkout(shared.make_customer(), shared.make_mechanic(), plan=plan, payment="pi_1")
    if plan == "gold":
        assert outcome(shared, event) == "error"
    assert outcome(shared, dispute("pi_1", "closed", "lost")) == "dispute_lost"
    if plan == "gold":
        # It is kept as long as the payment waits.
        shared.value("select dispatch.prune_stripe_events('0 days', 1000, now() + interval '1 s')")
        shared.sql("insert into service_plans values ('gold', 'Gold', 'video', 1)")
    assert process(shared, event)["created"]
    (request,) = shared.sql("select * from session_requests")
    assert request["status"] == "cancelled" and "refunded_at" in request["metadata"]
    assert shared.log() == ["request_cancelled:refunded"]
    assert unsettled(shared) == []


REFUSES = {
    "raises": "raise exception $m$not Zoe$m$",
    "without a word": "return null",
}


@pytest.mark.parametrize("how", REFUSES)
@pytest.mark.parametrize("by", ["refund", "dispute"])
def test_a_refund_that_the_marketplace_refuses_stays_in_the_ledger(
    db: Database, how: str, by: str
) -> None:
    request = paid(db)
    db.sql(TRIGGER.format(REFUSES[how]).replace("before insert", "before update"))
    event = refund("pi_1") if by == "refund" else dispute("pi_1", "closed", "lost")
    for _ in range(2):
        assert process(db, event) == {"outcome": "error", "request_id": None, "created": False}
        (row,) = db.sql("select * from dispatch.stripe_events where processed_at is null")
        assert row["id"] == event["id"] and "replay_stripe_event" in row["error"]
        assert row["error"].startswith("refused by the marketplace: ")
    assert list(unwell(db)) == ["stripe_events_processed"]
    assert db.log(request) == ["new_request"]

    db.sql("drop trigger theirs on session_requests")
    db.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert db.request(request)["status"] == "cancelled"
    assert not unwell(db) and not unsettled(db)
    assert db.log(request) == ["new_request", "request_cancelled:refunded"]


def test_other_products_disputes_and_refunds_are_theirs(shared: Database) -> None:
    for event in (dispute("pi_9", "created"), refund("pi_9"), failed_refund("pi_9")):
        process(shared, event)
    assert unsettled(shared) == [] and unwell(shared) == {}


# What was paid.


def price(total: int, currency: str = "usd", **more: Any) -> Row:
    return {"amount_total": total, "currency": currency} | more


@pytest.mark.parametrize(
    "fields",
    [
        price(1),
        price(1000),
        price(0, payment_status="no_payment_required"),
        price(999, "jpy"),
        price(998, amount_subtotal=999),
        price(1, amount_subtotal=1),
        price(500, amount_subtotal=500, total_details={"amount_discount": 400}),
    ],
    ids=str,
)
def test_another_sum_than_the_plan_s_price_is_seen(shared: Database, fields: Row) -> None:
    request = paid(shared, **fields)
    stored = shared.request(request)
    assert stored["status"] == "pending"
    given = {name: stored["metadata"][name] for name in ("amount_total", "currency")}
    assert given == {name: fields[name] for name in given}
    (entry,) = shared.sql("select * from dispatch.stripe_events")
    assert entry["processed_at"] and entry["error"].startswith("price_difference: paid ")
    found = unwell(shared)
    assert set(found) == {"payments_as_priced"}
    assert found["payments_as_priced"].startswith("1 sessions paid")
    shared.sql("update dispatch.stripe_events set error = null")
    assert unwell(shared) == {}


@pytest.mark.parametrize(
    "fields",
    [
        price(999),
        price(999, "usd", amount_subtotal=999),
        price(699, amount_subtotal=999, total_details={"amount_discount": 300}),
        price(0, amount_subtotal=999, total_details={"amount_discount": 999}),
        price(1189, amount_subtotal=999, total_details={"amount_tax": 190, "amount_discount": 0}),
        {},
        {"amount_total": None, "currency": None},
        {"amount_total": "free", "currency": 7},
    ],
    ids=str,
)
def test_a_coupon_and_a_tax_are_no_difference(shared: Database, fields: Row) -> None:
    request = paid(shared, **fields)
    assert unwell(shared) == {}
    assert shared.sql("select error from dispatch.stripe_events") == [{"error": None}]
    # Between the customer and Stripe, as its ids are.
    mechanic = shared.connect(shared.make_mechanic())
    accepted = rpc(mechanic, "accept_session_request", request_id=request)
    assert accepted["metadata"] == {}
    again = rpc(mechanic, "accept_session_request", request_id=request)
    assert again["metadata"] == {}


def test_a_price_without_cents(shared: Database) -> None:
    """Stripe has 500 yen as 500, and the plan's price was given to it as it is."""
    shared.sql("insert into service_plans values ('yen', 'Yen', 'chat', 500, 'jpy')")
    for total in (500, 50000):
        event = checkout(shared.make_customer(), plan="yen")
        event["data"]["object"] |= price(total, "jpy", amount_subtotal=total)
        process(shared, event)
        assert (unwell(shared) == {}) == (total == 500)


def test_a_price_that_rises_later_is_no_difference(shared: Database) -> None:
    paid(shared, **price(999))
    with shared.owner.transaction(force_rollback=True):
        shared.sql("update service_plans set price_cents = 1099 where code = 'quick-chat'")
        assert unwell(shared) == {}


# Whose events these are.


@pytest.mark.parametrize(
    ("expected", "event", "is_booked"),
    [
        ((True, None), {"livemode": True}, True),
        ((True, None), {"livemode": False}, False),
        ((True, None), {}, False),
        ((False, None), {"livemode": True}, False),
        ((True, "acct_1"), {"livemode": True}, True),  # the endpoint's own account is not named
        ((True, "acct_1"), {"livemode": True, "account": None}, True),
        ((True, "acct_1"), {"livemode": True, "account": "acct_1"}, True),
        ((True, "acct_1"), {"livemode": True, "account": "acct_2"}, False),
        ((True, "acct_1"), {"livemode": False, "account": "acct_1"}, False),
        ((None, "acct_1"), {"account": "acct_2"}, False),
        ((None, "acct_1"), {}, True),
        ((None, None), {"livemode": False, "account": "acct_2"}, True),
    ],
    ids=str,
)
def test_only_events_of_the_configured_mode_and_account_are_acted_on(
    db: Database, expected: tuple[bool | None, str | None], event: Row, is_booked: bool
) -> None:
    customer = db.make_customer()
    # A session that has planned all of it before must follow at once.
    webhook = db.connect(role="service_role")
    for _ in range(7):
        rpc(webhook, "process_stripe_event", event=checkout(customer))
    db.sql("select dispatch.expect_stripe(%s, %s)", *expected)
    answer = rpc(webhook, "process_stripe_event", event=checkout(customer, payment="pi_1") | event)
    assert answer["outcome"] == ("request_created" if is_booked else "ignored")
    assert answer["created"] is is_booked
    if not is_booked:
        db.sql("select dispatch.expect_stripe(null)")
        assert outcome(db, checkout(customer, payment="pi_1")) == "request_created"
        db.sql("select dispatch.expect_stripe(%s, %s)", *expected)
        assert outcome(db, refund("pi_1") | event) == "ignored"


def test_real_money_that_is_taken_for_a_test_is_seen(db: Database) -> None:
    db.sql("select dispatch.expect_stripe(false)")
    live = checkout(db.make_customer()) | {"livemode": True}
    assert outcome(db, live) == "ignored"
    other = checkout(db.make_customer(), session="cs_2") | {"livemode": True}
    other["data"]["object"]["mode"] = "subscription"  # another product's
    assert outcome(db, other) == "ignored"
    found = unwell(db)
    assert set(found) == {"live_payments_booked"}
    assert found["live_payments_booked"].startswith("1 paid sessions")
    db.sql("select dispatch.expect_stripe(true)")
    assert unwell(db) == {}
    db.sql("update dispatch.stripe_events set processed_at = null where id = %s", live["id"])
    assert db.value("select dispatch.replay_stripe_event(%s)", live["id"])["created"]

    db.sql("select dispatch.expect_stripe(false)")
    given = checkout(db.make_customer(), payment_status="no_payment_required", session="cs_3")
    assert outcome(db, given | {"livemode": True}) == "ignored"
    assert unwell(db)["live_payments_booked"].startswith("1 paid sessions")


def test_that_another_account_is_expected_than_pays_is_seen(db: Database) -> None:
    customer = db.make_customer()
    db.sql("select dispatch.expect_stripe(true, 'acct_typo')")
    for _ in range(2):
        ours = checkout(customer) | {"livemode": True, "account": "acct_1"}
        assert outcome(db, ours) == "ignored"
    assert unwell(db)["live_payments_booked"].startswith("2 paid sessions")
    db.sql("select dispatch.expect_stripe(true, 'acct_1')")
    assert outcome(db, ours | {"id": "evt_again"}) == "request_created"
    # What others, of a Connect platform's, put in their own sessions is no alarm.
    assert outcome(db, checkout(customer) | {"livemode": True, "account": "acct_2"}) == "ignored"
    assert unwell(db) == {}


@pytest.mark.parametrize(
    ("expected", "event", "fields", "status"),
    [
        ((False, None), {"livemode": True}, {}, "error"),
        ((True, "acct_1"), {"livemode": True, "account": "acct_2"}, {}, "error"),
        ((None, "acct_1"), {"account": "acct_2"}, {"mode": None}, "error"),
        ((False, None), {"livemode": True}, {"payment_status": "no_payment_required"}, "error"),
        # Nobody paid.
        ((True, None), {"livemode": False}, {}, "payment_failed"),
        ((False, None), {"livemode": True}, {"payment_status": "unpaid"}, None),
        # Another product's.
        ((False, None), {"livemode": True}, {"mode": "subscription"}, None),
        ((False, None), {"livemode": True, "type": "checkout.session.expired"}, {}, None),
    ],
    ids=str,
)
def test_the_customer_hears_of_a_payment_in_another_mode_than_expected(
    db: Database,
    expected: tuple[bool | None, str | None],
    event: Row,
    fields: Row,
    status: str | None,
) -> None:
    customer = db.make_customer()
    db.sql("select dispatch.expect_stripe(%s, %s)", *expected)
    sent = checkout(customer, session="cs_1", payment="pi_1") | event
    sent["data"]["object"] |= fields
    assert outcome(db, sent) == "ignored"
    asked = {"checkout_session_id": "cs_1"}
    assert rpc(db.connect(customer), "get_checkout_status", **asked) == status
    assert rpc(db.connect(db.make_customer()), "get_checkout_status", **asked) is None
    if status == "error":  # refunded, and closed as the runbook has it
        close = "update dispatch.stripe_events set outcome = %s where id = %s"
        db.sql(close, "payment_failed", sent["id"])
        assert rpc(db.connect(customer), "get_checkout_status", **asked) == "payment_failed"
        db.sql(close, "ignored", sent["id"])
    # As ever: it is booked once the owner has put it right, and what is refunded is none of these.
    db.sql("select dispatch.expect_stripe(null)")
    db.sql("update dispatch.stripe_events set processed_at = null where id = %s", sent["id"])
    again = db.value("select dispatch.replay_stripe_event(%s)", sent["id"])
    if again["created"]:
        assert rpc(db.connect(customer), "get_checkout_status", **asked) == "booked"
        subject = "select subject from dispatch.stripe_events where id = %s"
        assert db.value(subject, sent["id"]) is None
    assert again["created"] is (status is not None)
    assert unwell(db) == {}


def test_what_was_configured_survives_an_upgrade(db: Database) -> None:
    db.sql("select dispatch.expect_stripe(true, 'acct_1')")
    install(db.dsn(), ENGINE)
    assert outcome(db, checkout(db.make_customer()) | {"livemode": False}) == "ignored"
    with refused("22023"):
        db.sql("select dispatch.expect_stripe(true, 'sk_live_1')")


# A free booking that the marketplace refuses.


@pytest.mark.parametrize(
    "refuse",
    [
        "alter table session_requests add vin text not null",
        "alter table session_requests add constraint no check (plan_code <> 'free-diagnostic')",
        "alter table session_requests alter column customer_name set not null",
        TRIGGER.format("raise exception $m$Zoe Quill owes us$m$"),
        DEFERRED.format("raise exception $m$Zoe Quill owes us$m$"),
        TRIGGER.format("return null"),
        TRIGGER.format("assert false, $m$Zoe Quill owes us$m$"),
        TRIGGER.format("raise sqlstate $c$08001$c$ using message = $m$no server for Quill$m$"),
        TRIGGER.format("raise sqlstate $c$XX000$c$ using message = $m$Zoe Quill$m$"),
    ],
    ids=[
        "not null",
        "check",
        "a nameless customer",
        "raises",
        "at the commit",
        "without a word",
        "asserts",
        "calls a server that is away",
        "by an extension",
    ],
)
def test_a_free_booking_that_is_refused_shows_no_row(db: Database, refuse: str) -> None:
    db.sql(refuse)
    customer = db.connect(db.make_customer(), email="zoe.quill@mail.example")
    assert unwell(db) == {}
    with db.unchanged(), pytest.raises(psycopg.Error) as raised:
        rpc(customer, "request_free_session", plan_code="free-diagnostic")
    diagnosis = raised.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_detail) == ("PT409", "booking_refused")
    assert diagnosis.message_hint
    assert "quill" not in str(raised.value).lower() and "row" not in str(raised.value)
    assert set(unwell(db)) == {"marketplace_writes"}
    assert unwell(db, db.value("select now() + interval '25 hours'")) == {}


def test_what_a_trigger_says_to_the_caller_and_what_passes_are_not_hidden(db: Database) -> None:
    customer = db.connect(db.make_customer())
    for code, says in (("PT429", "slow down"), ("55P03", "one moment")):
        db.sql(TRIGGER.format(f"raise sqlstate $c${code}$c$ using message = $m${says}$m$"))
        with pytest.raises(psycopg.Error, match=says):
            rpc(customer, "request_free_session", plan_code="free-diagnostic")
        db.sql("drop function theirs cascade")
    assert unwell(db) == {}


@pytest.mark.parametrize(
    ("function", "status"),
    [
        ("accept_session_request", "accepted"),
        ("decline_session_request", None),
        ("cancel_session_request", "cancelled"),
        ("broadcast_session_request_now", None),
        ("complete_session_request", "completed"),
        ("release_session_request", "pending"),
        ("reopen_session_request", "pending"),
    ],
)
@pytest.mark.parametrize(
    "way", further_but(["at the commit"], ["at once", "at the commit", "by assert"])
)
def test_no_write_that_is_refused_shows_its_row(
    db: Database, function: str, status: str | None, way: str
) -> None:
    """The mechanic who accepts has not even been told the customer's name."""
    mechanic = db.make_mechanic()
    request = db.make_request(preferred=mechanic)
    if status in ("completed", "pending"):
        rpc(db.connect(mechanic), "accept_session_request", request_id=request)
        db.sql("update session_requests set accepted_at = now() - interval '10 minutes'")
    broken = f"status <> '{status}'" if status else "notification_sent_at is null"
    if way == "by assert":
        asserts = f"assert new.{broken}, $m$Zoe Quill$m$; return new".replace("'", "''")
        db.sql(TRIGGER.replace(" insert ", " update ").format(asserts))
    elif way == "at the commit":
        raises = f"if not (new.{broken}) then raise exception $m$Zoe Quill$m$; end if; return null"
        db.sql(DEFERRED.replace(" insert ", " update ").format(raises.replace("'", "''")))
    else:
        db.sql(f"alter table session_requests add constraint no check ({broken}) not valid")
    of_customer = function.startswith(("cancel", "broadcast", "reopen"))
    caller = db.request(request)["customer_id"] if of_customer else mechanic
    with db.unchanged(), pytest.raises(psycopg.Error) as raised:
        rpc(db.connect(caller), function, request_id=request)
    diagnosis = raised.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_detail) == ("PT409", "request_not_pending")
    assert "Quill" not in str(raised.value)
    assert set(unwell(db)) == {"marketplace_writes"}


@pytest.mark.parametrize("way", ["at once", "at the commit", "by assert"])
def test_a_status_that_is_refused_shows_no_row(db: Database, way: str) -> None:
    """What the owner notes of a mechanic, clients may not read."""
    mechanic = db.make_mechanic(online=False)
    db.sql(
        "alter table mechanics add note text not null default 'Zoe Quill',"
        " add vetted boolean not null default false"
    )
    if way == "at once":
        db.sql("alter table mechanics add constraint no check (vetted or not is_online)")
    else:
        asserts = "assert new.vetted, $m$Zoe Quill$m$; return new"
        made = TRIGGER if way == "by assert" else DEFERRED
        for old, new in ((" insert ", " update "), (" session_requests ", " mechanics ")):
            assert old in made
            made = made.replace(old, new)
        db.sql(made.format(asserts))
    with db.unchanged(), pytest.raises(psycopg.Error) as raised:
        rpc(db.connect(mechanic), "set_presence", status="online")
    diagnosis = raised.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_detail) == ("PT409", "presence_refused")
    assert "Quill" not in str(raised.value)
    assert set(unwell(db)) == {"marketplace_writes"}


# What is kept of whom.


NAMES = ("Zoe", "quill", "Turku", "squeaks", "+358", "Kauppatori")


def personal(db: Database) -> set[str]:
    text = str(db.sql("select payload, error from dispatch.stripe_events")).lower()
    return {name for name in NAMES if name.lower() in text}


def test_what_is_personal_goes_with_the_customer_s_account(shared: Database) -> None:
    details = {
        "customer_details": {
            "name": "Zoe Quill",
            "email": "zoe.quill@mail.example",
            "phone": "+358401234567",
            "address": {"city": "Turku", "line1": "Kauppatori 1"},
        },
        "customer": "cus_1",
        **price(999, amount_subtotal=999),
    }
    zoe, other = shared.make_customer(), shared.make_customer()
    booked = checkout(zoe, payment="pi_1", session="cs_1", notes="squeaks", customer_city="Turku")
    waits = checkout(None, reference=zoe, payment_status="unpaid", plan="quick-chat")
    kept = checkout(other, payment="pi_2")
    broken = checkout(zoe, plan="gold", payment="pi_3", notes="squeaks")
    billed = {
        "billing_details": details["customer_details"],
        "receipt_email": "zoe.quill@x.example",
    }
    charge = refund("pi_1")
    charge["data"]["object"] |= billed | {"amount_refunded": 999, "currency": "usd"}
    customer = stripe_event("customer.updated", id="cus_1", email="zoe.quill@mail.example")
    for event in (booked, waits, broken):
        event["data"]["object"] |= details
    for event in (booked, waits, kept, broken, customer):
        process(shared, event)
    scrub = "select dispatch.prune_stripe_events('180 days')"
    with shared.unchanged():
        assert shared.value(scrub) == 0

    shared.sql("delete from auth.users where id = %s", zoe)
    assert shared.value(scrub) == 4
    process(shared, charge)  # a refund comes only now
    assert personal(shared) == {"Zoe", "quill", "Turku", "+358", "Kauppatori"}
    assert shared.value(scrub) == 1 and shared.value(scrub) == 0
    left = {row["id"]: row for row in shared.sql("select * from dispatch.stripe_events")}
    assert left[kept["id"]]["payload"] == kept and left[kept["id"]]["scrubbed_at"] is None
    shared.sql("delete from dispatch.stripe_events where id = %s", kept["id"])
    assert personal(shared) == set()
    # The books: who by their id, what and how much.
    session = left[booked["id"]]["payload"]["data"]["object"]
    assert (session["id"], session["payment_intent"]) == ("cs_1", "pi_1")
    assert (session["amount_total"], session["currency"]) == (999, "usd")
    assert session["metadata"] == {"customer_id": zoe, "plan_code": "quick-chat"}
    assert left[charge["id"]]["payload"]["data"]["object"]["amount_refunded"] == 999
    assert left[broken["id"]]["processed_at"] is None
    assert "unknown_plan" in left[broken["id"]]["error"]


@pytest.mark.parametrize("in_full", [(True, False), (False, True), (True, True)])
def test_a_customer_whom_an_event_has_in_full_goes_too(
    shared: Database, in_full: tuple[bool, bool]
) -> None:
    """Where nothing in it names a payment; those that come later, too."""

    def customer(number: int) -> object:
        known = {"id": "cus_1", "object": "customer", "email": "zoe.quill@mail.example"}
        return known if in_full[number] else "cus_1"

    def invoice(of: object, **more: object) -> Row:
        return stripe_event("invoice.paid", customer=of, customer_name="Zoe Quill", **more)

    zoe = shared.make_customer()
    booked = checkout(zoe, payment="pi_1", session="cs_1")
    booked["data"]["object"] |= {"customer": customer(0), "charge": {"id": "ch_1"}}
    another = invoice({"id": "cus_2", "email": "mona@mail.example"})
    for event in (booked, invoice(customer(1)), another):
        process(shared, event)
    shared.sql("delete from auth.users where id = %s", zoe)
    scrub = "select dispatch.prune_stripe_events('180 days')"
    assert shared.value(scrub) == 2
    process(shared, invoice(customer(1)))
    assert shared.value(scrub) == 1 and shared.value(scrub) == 0
    left = {row["id"]: row["payload"] for row in shared.sql("select * from dispatch.stripe_events")}
    assert left.pop(another["id"]) == another
    assert {each["data"]["object"]["customer"] for each in left.values()} == {"cus_1"}
    assert left[booked["id"]]["data"]["object"]["charge"] == "ch_1"
    assert "uill" not in str(left)


def test_what_a_trigger_said_of_somebody_goes_too(db: Database) -> None:
    zoe = db.make_customer()
    db.sql(TRIGGER.format("raise exception $m$Zoe Quill owes us$m$"))
    process(db, checkout(zoe))
    assert "Zoe" in personal(db)
    db.sql("delete from auth.users where id = %s", zoe)
    db.sql("select dispatch.prune_stripe_events('180 days')")
    assert personal(db) == set()
    (entry,) = db.sql("select * from dispatch.stripe_events")
    assert entry["error"] == "refused by the marketplace: P0001"


@pytest.mark.parametrize("by", ["its customer", "a writer"])
@pytest.mark.parametrize("state", ["pending", "accepted", "expired", "cancelled", "completed"])
def test_what_is_deleted_before_it_was_completed_has_a_refund_due(
    shared: Database, state: str, by: str
) -> None:
    """With their account, or by hand."""
    request = paid(shared, state=state, **price(999))
    if by == "its customer":
        shared.sql("delete from auth.users where id = %s", shared.request(request)["customer_id"])
    else:
        shared.sql("delete from session_requests where id = %s", request)
    assert shared.sql("select id from session_requests") == []
    shared.value("select dispatch.prune_stripe_events('180 days')")
    due = [] if state == "completed" else [("request_gone", "pi_1")]
    assert unsettled(shared) == due
    assert set(unwell(shared)) == ({"refunds_due"} if due else set())
    if due:
        shared.sql("update dispatch.stripe_events set received_at = now() - interval '181 days'")
        shared.value("select dispatch.prune_stripe_events('180 days')")
        assert unsettled(shared) == due
    process(shared, refund("pi_1"))
    assert unsettled(shared) == [] and unwell(shared) == {}
    shared.sql("update dispatch.stripe_events set received_at = now() - interval '181 days'")
    # The refund after what it is of.
    shared.value("select dispatch.prune_stripe_events('180 days')")
    shared.value("select dispatch.prune_stripe_events('180 days')")
    assert shared.sql("select id from dispatch.stripe_events") == []


@pytest.mark.parametrize("state", ["pending", "accepted", "expired", "cancelled", "completed"])
def test_so_has_who_deletes_it_when_the_log_is_no_more(shared: Database, state: str) -> None:
    request = paid(shared, state=state, **price(999))
    retention = "select dispatch.prune_events('90 days'), dispatch.prune_stripe_events('180 days')"
    shared.sql("update dispatch.request_events set created_at = now() - interval '91 days'")
    shared.sql("update dispatch.request_events set delivered_at = now()")
    shared.sql(retention)
    shared.sql("delete from auth.users where id = %s", shared.request(request)["customer_id"])
    shared.sql(retention)
    due = [] if state == "completed" else [("request_gone", "pi_1")]
    assert unsettled(shared) == due
    shared.sql("update dispatch.request_events set created_at = now() - interval '91 days'")
    shared.sql("update dispatch.request_events set delivered_at = now()")
    shared.sql(retention)
    assert unsettled(shared) == due


@pytest.mark.parametrize("cents", [999, 500])
@pytest.mark.parametrize("owed", ["expired", "disputed"])
def test_what_is_owed_since_long_is_owed_when_the_account_goes(
    shared: Database, owed: str, cents: int
) -> None:
    """The ledger says no more who it was, and what goes then is noted all the same."""
    request = paid(shared, state="expired" if owed == "expired" else "completed", **price(cents))
    if owed == "disputed":
        process(shared, dispute("pi_1", "created", "needs_response"))
    assert unsettled(shared) == [(owed, "pi_1")]
    retention = "select dispatch.prune_events('90 days'), dispatch.prune_stripe_events('180 days')"
    shared.sql("update dispatch.stripe_events set received_at = now() - interval '181 days'")
    shared.sql(retention)
    shared.sql("delete from auth.users where id = %s", shared.request(request)["customer_id"])
    for _ in range(2):
        shared.sql(retention)
        assert shared.value("select dispatch.scrub_stripe_events('180 days')") == 0
        due = "request_gone" if owed == "expired" else owed
        assert unsettled(shared) == [(due, "pi_1")]


@pytest.mark.parametrize("is_noted", [False, True], ids=["before it is noted", "noted"])
@pytest.mark.parametrize("gone", ["the account", "the request"])
def test_of_what_is_gone_a_part_that_was_lost_takes_back_no_more(
    shared: Database, gone: str, is_noted: bool
) -> None:
    request = paid(shared, **price(999))
    if gone == "the account":
        shared.sql("delete from auth.users where id = %s", shared.request(request)["customer_id"])
    else:
        shared.sql("delete from session_requests where id = %s", request)
    retention = "select dispatch.prune_stripe_events('180 days')"
    if is_noted:
        shared.value(retention)
    lost = dispute("pi_1", "closed", "lost")
    lost["data"]["object"] |= {"amount": 400, "currency": "usd"}
    process(shared, lost)
    shared.value(retention)
    assert unsettled(shared) == [("request_gone", "pi_1")]
    assert set(unwell(shared)) == {"refunds_due"}
    # With the rest it is all of it.
    rest = refund("pi_1", full=False)
    rest["data"]["object"] |= {"amount_refunded": 599, "currency": "usd"}
    process(shared, rest)
    assert unsettled(shared) == [] and unwell(shared) == {}


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("what", ["disputed", "refund_failed"])
@pytest.mark.parametrize("gone", ["the account", "the request"])
def test_what_the_bank_says_outlives_the_customer_s_account_and_the_request(
    shared: Database, what: str, is_later: bool, gone: str
) -> None:
    request = paid(shared, state="completed", **price(999))
    said = dispute("pi_1", "created") if what == "disputed" else failed_refund("pi_1")
    if not is_later:
        process(shared, said)
    if gone == "the account":
        shared.sql("delete from auth.users where id = %s", shared.request(request)["customer_id"])
    else:
        shared.sql("delete from session_requests where id = %s", request)
    shared.value("select dispatch.prune_stripe_events('180 days')")
    if is_later:
        process(shared, said)
        shared.value("select dispatch.prune_stripe_events('180 days')")
    assert unsettled(shared) == [(what, "pi_1")]
    assert len(unwell(shared)) == 1
    age = "update dispatch.stripe_events set received_at = now() - interval '181 days'"
    shared.sql(age)
    shared.value("select dispatch.prune_stripe_events('180 days')")
    assert unsettled(shared) == [(what, "pi_1")]
    ended = dispute("pi_1", "closed", "won") if what == "disputed" else refund("pi_1")
    process(shared, ended)
    assert unsettled(shared) == [] and unwell(shared) == {}


def test_a_dispute_of_another_product_s_customer_is_not_ours(shared: Database) -> None:
    """Whose id is no user's here, as if their account were gone."""
    process(shared, checkout(str(uuid.uuid4()), payment="pi_2", plan=None))
    process(shared, dispute("pi_2", "created"))
    shared.value("select dispatch.prune_stripe_events('180 days')")
    assert unsettled(shared) == []


@pytest.mark.parametrize("what", ["disputed", "refund_failed", "price_difference"])
def test_what_somebody_must_look_at_stays_until_they_did(shared: Database, what: str) -> None:
    paid(shared, state="completed", **price(998 if what == "price_difference" else 999))
    if what == "disputed":
        process(shared, dispute("pi_1", "created"))
    elif what == "refund_failed":
        process(shared, failed_refund("pi_1"))
    before = unwell(shared)
    assert len(before) == 1
    age = "update dispatch.stripe_events set received_at = now() - interval '181 days'"
    shared.sql(age)
    assert shared.value("select dispatch.prune_stripe_events('180 days')") > 0
    assert set(unwell(shared)) == set(before)
    assert personal(shared) == set()  # who it was is not needed for that
    if what == "disputed":
        process(shared, dispute("pi_1", "closed", "won"))
    elif what == "refund_failed":
        process(shared, refund("pi_1"))
    else:
        shared.sql("update dispatch.stripe_events set error = null")
    assert unwell(shared) == {}
    shared.sql(age)
    shared.value("select dispatch.prune_stripe_events('180 days')")
    assert shared.sql("select id from dispatch.stripe_events") == []


def test_the_lists_cost_what_is_in_them(db: Database) -> None:
    """Not what was ever paid."""
    db.sql(
        "insert into session_requests (customer_id, session_type, status, metadata)"
        " select %s, 'chat', 'completed', jsonb_build_object('stripe_payment_intent', n)"
        " from generate_series(1, 20000) as n",
        db.make_customer(),
    )
    db.sql(
        "insert into dispatch.stripe_events (id, type, payload, processed_at, outcome)"
        " select n, 'x', '{}', now(), 'request_created' from generate_series(1, 20000) as n"
    )
    db.sql("analyze")
    for _ in range(3):
        (plan,) = rows(
            db.owner,
            "explain (analyze, buffers, format json) select * from dispatch.unsettled_requests()",
        )
    top = plan["QUERY PLAN"][0]["Plan"]
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 100
