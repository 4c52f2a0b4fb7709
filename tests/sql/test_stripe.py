"""The Stripe ledger: one request for each Checkout Session, whatever comes, however often."""

import random
import uuid
from typing import Any

import pytest

from stack.clients import stripe_event
from tests.database import Database, Row, checkout, refund, refused, rpc

COMPLETED = "checkout.session.completed"
SUCCEEDED = "checkout.session.async_payment_succeeded"


def process(db: Database, event: Any) -> Row:
    answer: Row = rpc(db.connect(role="service_role"), "process_stripe_event", event=event)
    assert set(answer) == {"outcome", "request_id", "created"}
    assert answer["created"] is (answer["outcome"] == "request_created")
    return answer


def ledger(db: Database, event: Row) -> Row:
    (row,) = db.sql("select * from dispatch.stripe_events where id = %s", event["id"])
    assert row["type"] == event["type"] and row["payload"] == event
    assert (row["processed_at"] is None) == (row["error"] is not None)
    return row


@pytest.mark.parametrize(
    ("kind", "payment_status"),
    [(COMPLETED, "paid"), (COMPLETED, "no_payment_required"), (SUCCEEDED, "paid")],
)
def test_a_paid_session_makes_a_request(shared: Database, kind: str, payment_status: str) -> None:
    customer = shared.make_customer()
    event = checkout(
        customer,
        kind=kind,
        payment_status=payment_status,
        session="cs_1",
        payment="pi_1",
        notes="squeaks",
        requested_brand="Saab",
        customer_city="Turku",
    )
    answer = process(shared, event)
    assert answer["outcome"] == "request_created"
    request = shared.request(answer["request_id"])
    assert str(request["customer_id"]) == customer and request["status"] == "pending"
    assert (request["session_type"], request["plan_code"]) == ("chat", "quick-chat")
    assert (request["customer_name"], request["customer_email"]) == (
        "Zoe Quill",
        "zoe.quill@mail.example",
    )
    assert (request["notes"], request["requested_brand"]) == ("squeaks", "Saab")
    assert request["metadata"] == {
        "stripe_checkout_session_id": "cs_1",
        "stripe_payment_intent": "pi_1",
    }
    row = ledger(shared, event)
    assert row["outcome"] == "request_created"


@pytest.mark.parametrize(
    "event",
    [
        checkout("x", kind=COMPLETED, payment_status="unpaid"),
        checkout("x", kind="checkout.session.async_payment_failed"),
        checkout("x", kind="checkout.session.expired", payment_status="unpaid"),
        checkout("x", kind="checkout.session.unheard_of"),
        stripe_event("customer.created", id="cus_1"),
        stripe_event("", id="x"),
        stripe_event("charge.refunded", payment_intent="pi_1", refunded=False),
        stripe_event("charge.refunded", payment_intent="pi_1"),
        stripe_event("charge.refunded", payment_intent="pi_1", refunded="true"),
        stripe_event("payment_intent.succeeded"),
    ],
    ids=lambda event: event["type"] or "empty",
)
def test_other_events_are_recorded_and_make_nothing(shared: Database, event: Row) -> None:
    answer = process(shared, event)
    assert answer["outcome"] in ("ignored", "waiting_for_payment", "payment_failed")
    assert ledger(shared, event)["outcome"] == answer["outcome"]
    assert process(shared, event)["outcome"] == "duplicate"
    assert shared.sql("select 1 from session_requests") == [] and shared.events() == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("status", ["paid", "unpaid"])
def test_the_events_of_one_session_make_one_request_in_any_order(
    shared: Database, status: str, order: int
) -> None:
    customer = shared.make_customer()
    events = [
        checkout(customer, kind=COMPLETED, payment_status=status, session="cs_1", payment="pi_1"),
        checkout(customer, kind=SUCCEEDED, session="cs_1", payment="pi_1"),
    ][::order]
    answers = [process(shared, event) for event in [*events, *events]]
    assert [answer["created"] for answer in answers].count(True) == 1
    assert shared.log() == ["new_request"]
    assert len({answer["request_id"] for answer in answers} - {None}) == 1


def test_an_event_sent_again_is_a_duplicate_of_the_same_request(shared: Database) -> None:
    event = checkout(shared.make_customer(), shared.make_mechanic())
    first = process(shared, event)
    with shared.unchanged():
        again = process(shared, event)
    assert again == {"outcome": "duplicate", "request_id": first["request_id"], "created": False}


def test_the_customer_is_the_metadatas_else_the_client_reference(shared: Database) -> None:
    one, two = shared.make_customer(), shared.make_customer()
    for event, expected in (
        (checkout(one, reference=two), one),
        (checkout(None, reference=two), two),
        (checkout("not-a-uuid", reference=two), two),
        (checkout("", reference=two), two),
    ):
        request = shared.request(process(shared, event)["request_id"])
        assert str(request["customer_id"]) == expected


ERRORS: dict[str, Row] = {
    "unknown plan": {"plan": "gold"},
    "no plan": {"plan": None},
    "empty plan": {"plan": ""},
    "long plan": {"plan": "x" * 5000},
    "unknown customer": {"customer": "00000000-0000-4000-8000-000000000000"},
    "no customer": {"customer": None},
    "malformed customer": {"customer": "1; drop table auth.users"},
    "malformed reference": {"customer": None, "reference": "order 17"},
}


@pytest.mark.parametrize("given", ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_booked_is_kept_with_its_error_and_tried_again(
    shared: Database, given: Row
) -> None:
    customer = shared.make_customer()
    event = checkout(**({"customer": customer} | given))
    for _ in range(2):
        assert process(shared, event) == {"outcome": "error", "request_id": None, "created": False}
        row = ledger(shared, event)
        assert row["error"].split(":")[0] == (
            "unknown_plan" if "plan" in given else "missing_customer"
        )
        assert "replay_stripe_event" in row["error"] and len(row["error"]) < 300
    assert shared.sql("select 1 from session_requests") == [] and shared.events() == []
    (check,) = shared.sql(
        "select * from dispatch.health() where check_name = 'stripe_events_processed'"
    )
    assert not check["ok"]


def test_the_error_names_the_id_that_is_nobody_s(shared: Database) -> None:
    """The metadata's is taken where it is one, though the reference is a user's."""
    event = checkout(str(uuid.uuid4()), reference=shared.make_customer())
    assert process(shared, event)["outcome"] == "error"
    said = "missing_customer: metadata.customer_id (client_reference_id, if that is no id) is not"
    assert ledger(shared, event)["error"].startswith(said)


@pytest.mark.parametrize("is_refunded_first", [True, False])
def test_what_is_nobody_s_is_over_once_it_is_refunded(
    shared: Database, is_refunded_first: bool
) -> None:
    """As its error says. Of an unknown plan it is not: its customer's session is to be recorded."""
    events = {
        "nobody": checkout(str(uuid.uuid4()), payment="pi_1"),
        "gold": checkout(shared.make_customer(), payment="pi_2", plan="gold"),
        "in part": checkout(str(uuid.uuid4()), payment="pi_3"),
    }
    money = [refund("pi_1"), refund("pi_2"), refund("pi_3", full=False)]
    first = money if is_refunded_first else list(events.values())
    for event in first:
        process(shared, event)
    for event in money:
        process(shared, event)
    for _ in range(2):
        found = {name: process(shared, event)["outcome"] for name, event in events.items()}
    assert found == {"nobody": "duplicate", "gold": "error", "in part": "error"}
    over = ledger(shared, events["nobody"])
    assert (over["outcome"], over["error"]) == ("refunded", None) and over["processed_at"]
    assert shared.sql("select 1 from session_requests") == [] and shared.events() == []


@pytest.mark.parametrize("way", ["refund", "dispute"])
def test_of_what_is_nobody_s_it_is_told_that_its_refund_failed(shared: Database, way: str) -> None:
    """Or that the bank took back what it had decided: nothing else would say so."""
    event, payment = checkout(str(uuid.uuid4()), payment="pi_1"), {"payment_intent": "pi_1"}

    def closed(status: str, created: int) -> Row:
        dispute = {"id": "dp_1", "status": status, "amount": 999, "currency": "eur"}
        told = stripe_event("charge.dispute.closed", **dispute, **payment)
        return told | {"created": created}

    if way == "refund":
        back = refund("pi_1") | {"created": 1}
        failed = stripe_event("refund.failed", id="re_1", status="failed", **payment)
        taken_back = failed | {"created": 2}
    else:
        back, taken_back = closed("lost", 1), closed("won", 2)
        event["data"]["object"] |= {"amount_total": 999, "currency": "eur"}
    process(shared, back)
    assert process(shared, event)["outcome"] == "refunded"
    process(shared, taken_back)
    for _ in range(2):
        assert ledger(shared, event)["error"].startswith("missing_customer: ")
        assert process(shared, event)["outcome"] == "error"
    # Sent again it is over again.
    process(shared, refund("pi_1") | {"created": 3})
    replayed = shared.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert replayed["outcome"] == "refunded" and ledger(shared, event)["processed_at"]


@pytest.mark.parametrize("by", ["replay", "stripe"])
def test_once_mended_it_is_booked_with_its_favourite(shared: Database, by: str) -> None:
    event = checkout(shared.make_customer(), shared.make_mechanic(), plan="gold")
    process(shared, event)
    shared.sql(
        "insert into service_plans (code, title, session_type, price_cents)"
        " values ('gold', 'Gold', 'video', 1)"
    )
    replay = "select dispatch.replay_stripe_event(%s)"
    answer = shared.value(replay, event["id"]) if by == "replay" else process(shared, event)
    assert answer["outcome"] == "request_created"
    assert ledger(shared, event)["error"] is None
    assert shared.log(answer["request_id"]) == ["priority_request"]
    assert shared.value(replay, event["id"])["outcome"] == "duplicate"
    assert process(shared, event)["outcome"] == "duplicate"
    with refused("P0002"):
        shared.value(replay, "evt_unknown")


def test_a_mended_payload_is_replayed_though_stripe_sends_the_old_one(shared: Database) -> None:
    event = checkout(None)
    process(shared, event)
    shared.sql(
        "update dispatch.stripe_events set payload ="
        " jsonb_set(payload, '{data,object,client_reference_id}', to_jsonb(%s::text))",
        shared.make_customer(),
    )
    process(shared, event)
    assert shared.value("select dispatch.replay_stripe_event(%s)", event["id"])["created"]
    assert process(shared, event)["outcome"] == "duplicate"


# Refunds.


@pytest.mark.parametrize("preferred", [True, False], ids=["in its window", "broadcast"])
def test_a_full_refund_cancels_a_pending_request(shared: Database, preferred: bool) -> None:
    mechanic = shared.make_mechanic()
    paid = checkout(shared.make_customer(), mechanic if preferred else None, payment="pi_1")
    request = process(shared, paid)["request_id"]
    event = refund("pi_1")
    assert process(shared, event) == {
        "outcome": "refunded",
        "request_id": request,
        "created": False,
    }
    assert shared.request(request)["status"] == "cancelled"
    told = f"mechanic:{mechanic}" if preferred else "session_requests_feed"
    last = shared.events(request)[-1]
    assert (last["event"], last["payload"]["reason"]) == ("request_cancelled", "refunded")
    assert last["topics"][1:] == [told]
    with shared.unchanged():
        assert process(shared, event)["outcome"] == "duplicate"
        assert process(shared, paid)["outcome"] == "duplicate"


def test_a_partial_refund_changes_nothing(shared: Database) -> None:
    request = process(shared, checkout(shared.make_customer(), payment="pi_1"))["request_id"]
    assert process(shared, refund("pi_1", full=False))["outcome"] == "ignored"
    assert shared.request(request)["status"] == "pending"
    assert process(shared, refund("pi_1"))["request_id"] == request


@pytest.mark.parametrize("state", ["accepted", "completed", "cancelled", "expired"])
def test_a_refund_leaves_what_is_no_longer_pending(shared: Database, state: str) -> None:
    mechanic = shared.make_mechanic()
    request = process(shared, checkout(shared.make_customer(), payment="pi_1"))["request_id"]
    if state in ("accepted", "completed"):
        rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
    shared.sql(
        "update session_requests set status = %s::session_request_status where status::text <> %s",
        state,
        state,
    )
    before = shared.log()
    assert process(shared, refund("pi_1"))["outcome"] == "refunded"
    after = shared.request(request)
    assert after["status"] == state and "refunded_at" in after["metadata"]
    # Who works for it, or did, and who paid are told that there is no money any more.
    told = state in ("accepted", "completed")
    assert shared.log() == before + ["request_refunded"] * told
    if told:
        last = shared.events(request)[-1]
        assert last["topics"] == [f"customer:{after['customer_id']}", f"mechanic:{mechanic}"]
    with shared.unchanged_row(request):
        assert process(shared, refund("pi_1"))["outcome"] == "refunded"
    assert shared.log() == before + ["request_refunded"] * told


@pytest.mark.parametrize("kind", [COMPLETED, SUCCEEDED])
def test_a_refund_before_its_payment_leaves_it_recorded_and_offered_to_nobody(
    shared: Database, kind: str
) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    process(shared, refund("pi_1", full=False))
    process(shared, refund("pi_1"))
    paid = checkout(customer, mechanic, kind=kind, payment="pi_1")
    answer = process(shared, paid)
    assert answer["request_id"]
    assert shared.request(answer["request_id"])["status"] == "cancelled"
    (event,) = shared.events()
    assert event["event"] == "request_cancelled" and event["payload"]["reason"] == "refunded"
    assert event["topics"] == [f"customer:{customer}"]
    assert rpc(shared.connect(mechanic), "list_open_session_requests") == []
    with refused("PT410", "request_cancelled"):
        rpc(shared.connect(mechanic), "accept_session_request", request_id=answer["request_id"])


def test_a_partial_refund_before_its_payment_cancels_nothing(shared: Database) -> None:
    process(shared, refund("pi_1", full=False))
    process(shared, checkout(shared.make_customer(), payment="pi_1"))
    assert shared.log() == ["new_request"]


def test_a_refund_of_another_payment_touches_nothing(shared: Database) -> None:
    process(shared, checkout(shared.make_customer(), payment="pi_1"))
    assert process(shared, refund("pi_2"))["request_id"] is None
    assert shared.log() == ["new_request"]


def test_a_refund_cancels_every_pending_request_of_its_payment(shared: Database) -> None:
    for _ in range(2):
        shared.make_request(metadata={"stripe_payment_intent": "pi_1"})
    assert process(shared, refund("pi_1"))["outcome"] == "refunded"
    assert shared.log().count("request_cancelled:refunded") == 2


def test_once_refunded_an_expired_request_is_no_longer_due_a_refund(shared: Database) -> None:
    process(shared, checkout(shared.make_customer(), payment="pi_1"))
    shared.value("select dispatch.sweep(p_now => now() + interval '2 days')")
    due = "select ok from dispatch.health() where check_name = 'refunds_due'"
    assert shared.value(due) is False
    process(shared, refund("pi_1"))
    assert shared.value(due) is True


# Bad and hostile.

OBJECT: Row = {"id": "cs_1"}
INVALID: dict[str, Any] = {
    "array": [],
    "empty": {},
    "no id": {"type": COMPLETED, "data": {"object": OBJECT}},
    "empty id": {"id": "", "type": COMPLETED, "data": {"object": OBJECT}},
    "long id": {"id": "e" * 256, "type": COMPLETED, "data": {"object": OBJECT}},
    "id is a number": {"id": 1, "type": COMPLETED, "data": {"object": OBJECT}},
    "no type": {"id": "evt_1", "data": {"object": OBJECT}},
    "type is null": {"id": "evt_1", "type": None, "data": {"object": OBJECT}},
    "long type": {"id": "evt_1", "type": "t" * 256, "data": {"object": OBJECT}},
    "no data": {"id": "evt_1", "type": COMPLETED},
    "data is text": {"id": "evt_1", "type": COMPLETED, "data": "x"},
    "no object": {"id": "evt_1", "type": COMPLETED, "data": {}},
    "object is an array": {"id": "evt_1", "type": COMPLETED, "data": {"object": []}},
    "no session id": {"id": "evt_1", "type": COMPLETED, "data": {"object": {}}},
    "empty session id": {"id": "evt_1", "type": COMPLETED, "data": {"object": {"id": ""}}},
    "long session id": {"id": "evt_1", "type": COMPLETED, "data": {"object": {"id": "c" * 256}}},
    "session id is null": {"id": "evt_1", "type": COMPLETED, "data": {"object": {"id": None}}},
}


@pytest.mark.parametrize("event", INVALID.values(), ids=INVALID)
def test_what_is_no_event_is_refused_and_not_kept(shared: Database, event: Any) -> None:
    with shared.unchanged(), refused("PT422", "invalid_event"):
        process(shared, event)


@pytest.mark.parametrize("event", ["null", '"text"', "17", "true"])
def test_a_json_value_is_no_event(shared: Database, event: str) -> None:
    connection = shared.connect(role="service_role")
    for query in (b"select public.process_stripe_event(%s::jsonb)",):
        with shared.unchanged(), refused("PT422", "invalid_event"):
            connection.execute(query, (event,))
    with shared.unchanged(), refused("PT422", "invalid_event"):
        connection.execute("select public.process_stripe_event(null)")


# Of which nothing can be packed: too long for an index.
NOT_PACKED = random.Random(1).randbytes(6000).hex()
HOSTILE = ["", " ", "null", "' or 1=1 --", "x" * 5000, "\u202e\U0001f600", "$$;drop", "\n", "{}"]
KEYS = [
    "routing_type",
    "preferred_mechanic_id",
    "priority_window_minutes",
    "skip_if_offline",
    "session_type",
    "notes",
    "requested_brand",
    "customer_city",
    "customer_country",
    "unheard_of",
]


@pytest.mark.parametrize("key", KEYS)
def test_no_metadata_loses_a_paid_session(shared: Database, key: str) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    values: list[Any] = [*HOSTILE, 5, True, [1], {"a": 1}]
    for text in values:
        event = checkout(customer, mechanic)
        event["data"]["object"]["metadata"][key] = text
        answer = process(shared, event)
        assert answer["outcome"] == "request_created"
        assert shared.log(answer["request_id"])[-1].split(":")[0] in (
            "priority_request",
            "new_request",
        )
    assert len(rpc(shared.connect(mechanic), "list_open_session_requests")) == len(values)


@pytest.mark.parametrize(
    "change",
    [
        {"customer_details": None},
        {"customer_details": "x"},
        {"customer_details": [1]},
        {"customer_details": {"name": {"a": 1}, "address": "x"}},
        {"payment_intent": None},
        {"payment_intent": {"id": "pi_1"}},
        {"payment_intent": "p" * 255},
        {"payment_intent": "p\u00e9" * 5000},
        {"payment_intent": NOT_PACKED},
        {"payment_intent": {"id": NOT_PACKED}},
        {"payment_intent": [NOT_PACKED]},
        {"payment_intent": 7},
        {"client_reference_id": {"a": 1}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_no_odd_field_loses_a_paid_session(shared: Database, change: Row) -> None:
    event = checkout(shared.make_customer())
    event["data"]["object"] |= change
    assert process(shared, event)["created"] is True
    assert process(shared, event)["outcome"] == "duplicate"


@pytest.mark.parametrize(
    "metadata", [None, "x", [], 7, {}, {"order": "42"}, {"plan_code": "", "customer_id": ""}]
)
def test_a_session_of_another_product_is_ignored(shared: Database, metadata: Any) -> None:
    """It has neither plan_code nor customer_id; Stripe need not send it again."""
    event = checkout(None, reference=shared.make_customer())
    event["data"]["object"]["metadata"] = metadata
    assert process(shared, event) == {"outcome": "ignored", "request_id": None, "created": False}
    assert ledger(shared, event)["processed_at"]


@pytest.mark.parametrize("mode", ["setup", "subscription", "payment"])
def test_only_a_payment_books(shared: Database, mode: str) -> None:
    event = checkout(shared.make_customer())
    event["data"]["object"]["mode"] = mode
    booked = process(shared, event)
    assert booked["outcome"] == ("request_created" if mode == "payment" else "ignored")
    assert shared.value("select count(*) from session_requests") == (mode == "payment")


TRIGGER = """
create function theirs() returns trigger language plpgsql as 'begin {}; end';
create trigger theirs {} insert on session_requests for each row execute function theirs()
"""
# What a server that a trigger of theirs calls answers, an extension, a publication, a broken file.
NEVER_PASSES = {
    "P0004": "assert false",
    **{
        code: f"raise sqlstate $c${code}$c$ using message = $m$gone$m$"
        for code in ("08001", "55000", "58P01", "XX000", "XX002")
    },
}
LOCKED = "raise lock_not_available using message = $m$one moment$m$"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_failure_half_way_leaves_no_half(db: Database, moment: str) -> None:
    """What passes by itself is raised: the app answers 500, and Stripe tries again."""
    event = checkout(db.make_customer(), db.make_mechanic())
    db.sql(TRIGGER.format(LOCKED, moment))
    with db.unchanged(), refused("55P03"):
        process(db, event)
    db.sql("drop trigger theirs on session_requests")
    assert process(db, event)["created"] is True


@pytest.mark.parametrize(
    ("refuse", "mend", "said"),
    [
        (
            "alter table session_requests add constraint no check (notes <> 'boom')",
            "alter table session_requests drop constraint no",
            "refused by the marketplace: 23514 ",
        ),
        (
            "alter table session_requests add vin text not null",
            "alter table session_requests alter vin set default ''",
            "refused by the marketplace: 23502 ",
        ),
        (
            TRIGGER.format("raise exception $m$closed on Sundays$m$", "before"),
            "drop trigger theirs on session_requests",
            "refused by the marketplace: P0001 closed on Sundays",
        ),
        (
            TRIGGER.format("raise exception $m$closed on Sundays$m$", "after")
            .replace("create trigger", "create constraint trigger")
            .replace("for each row", "deferrable initially deferred for each row"),
            "drop trigger theirs on session_requests",
            "refused by the marketplace: P0001 closed on Sundays",
        ),
        (
            TRIGGER.format("return null", "before"),
            "drop trigger theirs on session_requests",
            "refused by the marketplace: a trigger kept the row out",
        ),
        *(
            (
                TRIGGER.format(body, "before"),
                "drop trigger theirs on session_requests",
                f"refused by the marketplace: {code} ",
            )
            for code, body in NEVER_PASSES.items()
        ),
    ],
    ids=["check", "not null", "raises", "at the commit", "without a word", *NEVER_PASSES],
)
def test_a_booking_that_the_marketplace_refuses_stays_in_the_ledger(
    db: Database, refuse: str, mend: str, said: str
) -> None:
    event = checkout(db.make_customer(), db.make_mechanic(), notes="boom")
    db.sql(refuse)
    for _ in range(2):
        assert process(db, event) == {"outcome": "error", "request_id": None, "created": False}
        error = ledger(db, event)["error"]
        assert error.startswith(said) and "replay_stripe_event" in error
        assert not db.sql("select id from session_requests") and not db.events()
    db.sql(mend)
    answer = db.value("select dispatch.replay_stripe_event(%s)", event["id"])
    assert answer["created"] is True
    assert db.log(answer["request_id"]) == ["priority_request"]
