"""Every call that must be refused: the contract's error, and nothing changed."""

from collections.abc import Iterator
from typing import Any

import pytest

from stack.postgres import Cluster
from tests.database import Connection, Database, fresh_database, refused, rpc

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Scene:
    """One customer with a request in every state, and everyone who might meddle with it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        customer = db.make_customer()
        self.people: dict[str, str | None] = {
            "customer": customer,
            "stranger": db.make_customer(),
            "favourite": db.make_mechanic(),
            "winner": db.make_mechanic(),
            "other": db.make_mechanic(),
            "applicant": db.make_mechanic("pending"),
            "unset": db.make_mechanic(None),
            "suspended": db.make_mechanic("suspended"),
            "busy_owner": db.make_mechanic(),
            "nobody": None,
        }
        self.people["leaver"] = db.make_mechanic()
        self._connections: dict[str, Connection] = {}
        favourite = self.people["favourite"]

        def make(status: str = "pending", **columns: Any) -> str:
            request = db.make_request(columns.pop("customer", customer), **columns)
            if status in ("accepted", "completed"):
                rpc(self.act("winner"), "accept_session_request", request_id=request)
            if status != "pending":
                db.sql(
                    "update public.session_requests set status = %s::session_request_status"
                    " where id = %s and status::text <> %s",
                    status,
                    request,
                    status,
                )
            return request

        self.requests: dict[str, str | None] = {
            "null": None,
            "unknown": UNKNOWN,
            "reserved": make(preferred=favourite),
            "open": make(),
            "accepted": make("accepted"),
            "completed": make("completed"),
            "cancelled": make("cancelled"),
            "expired": make("expired"),
            "stale": make(expires_at="2020-01-01"),
            "reserved_cancelled": make("cancelled", preferred=favourite),
            "own": make(customer=self.people["busy_owner"]),
            "declined": make(),
            "dropped": make("accepted"),
            "given_back": make("accepted"),
            "not_come": make("accepted"),
            "reserved_accepted": make(preferred=favourite),
        }
        rpc(self.act("other"), "decline_session_request", request_id=self.requests["declined"])
        rpc(
            self.act("favourite"),
            "accept_session_request",
            request_id=self.requests["reserved_accepted"],
        )
        rpc(
            self.act("winner"),
            "release_session_request",
            request_id=self.requests["given_back"],
        )
        db.sql(
            "update session_requests set accepted_at = now() - interval '10 minutes' where id = %s",
            self.requests["not_come"],
        )
        rpc(
            self.act("customer"),
            "reopen_session_request",
            request_id=self.requests["not_come"],
        )
        db.sql(
            "update session_requests set status = 'cancelled' where id = %s",
            self.requests["dropped"],
        )
        db.sql(
            "insert into service_plans (code, title, session_type, price_cents, is_active)"
            " values ('old-free', 'Old', 'chat', 0, false), ('old-paid', 'Old', 'chat', 5, false)"
        )

    def act(self, who: str) -> Connection:
        if who not in self._connections:
            role = who if who in ("anon", "service_role") else "authenticated"
            self._connections[who] = self.db.connect(self.people.get(who), role)
        return self._connections[who]


@pytest.fixture(scope="module")
def scene(cluster: Cluster) -> Iterator[Scene]:
    with fresh_database(cluster) as database:
        yield Scene(database)


NOT_FOUND = ("PT404", "request_not_found")
TAKEN = ("PT409", "request_taken")
NOT_PENDING = ("PT409", "request_not_pending")
TOO_EARLY = ("PT409", "too_early")
CANCELLED = ("PT410", "request_cancelled")
EXPIRED = ("PT410", "request_expired")
NOT_YOURS = ("PT403", "not_yours")
NOT_A_MECHANIC = ("PT403", "not_a_mechanic")
NOT_SIGNED_IN = ("PT401", "not_signed_in")
DENIED = ("42501", None)

# function: {(who, request): error}
OF_A_REQUEST = {
    "accept_session_request": {
        ("other", "null"): NOT_FOUND,
        ("other", "unknown"): NOT_FOUND,
        ("other", "reserved"): NOT_FOUND,
        ("other", "reserved_cancelled"): NOT_FOUND,
        ("other", "reserved_accepted"): NOT_FOUND,
        ("other", "declined"): NOT_FOUND,
        ("winner", "given_back"): NOT_FOUND,
        ("winner", "not_come"): NOT_FOUND,
        ("busy_owner", "own"): NOT_FOUND,
        ("other", "accepted"): TAKEN,
        ("favourite", "completed"): TAKEN,
        ("other", "cancelled"): CANCELLED,
        ("other", "dropped"): CANCELLED,
        ("winner", "dropped"): CANCELLED,
        ("favourite", "reserved_cancelled"): CANCELLED,
        ("other", "expired"): EXPIRED,
        ("other", "stale"): EXPIRED,
        ("customer", "open"): NOT_A_MECHANIC,
        ("stranger", "unknown"): NOT_A_MECHANIC,
        ("stranger", "reserved"): NOT_A_MECHANIC,
        ("applicant", "open"): NOT_A_MECHANIC,
        ("unset", "open"): NOT_A_MECHANIC,
        ("suspended", "open"): NOT_A_MECHANIC,
        ("nobody", "open"): NOT_SIGNED_IN,
        ("anon", "open"): DENIED,
        ("service_role", "open"): DENIED,
    },
    "decline_session_request": {
        ("other", "null"): NOT_FOUND,
        ("other", "unknown"): NOT_FOUND,
        ("other", "reserved"): NOT_FOUND,
        ("other", "reserved_cancelled"): NOT_FOUND,
        ("busy_owner", "own"): NOT_FOUND,
        ("other", "accepted"): TAKEN,
        ("winner", "accepted"): NOT_PENDING,
        ("winner", "completed"): NOT_PENDING,
        ("other", "cancelled"): CANCELLED,
        ("favourite", "reserved_cancelled"): CANCELLED,
        ("other", "expired"): EXPIRED,
        ("other", "stale"): EXPIRED,
        ("customer", "open"): NOT_A_MECHANIC,
        ("applicant", "open"): NOT_A_MECHANIC,
        ("suspended", "reserved"): NOT_A_MECHANIC,
        ("nobody", "open"): NOT_SIGNED_IN,
        ("anon", "open"): DENIED,
        ("service_role", "open"): DENIED,
    },
    "cancel_session_request": {
        ("customer", "null"): NOT_FOUND,
        ("customer", "unknown"): NOT_FOUND,
        ("stranger", "reserved"): NOT_FOUND,
        ("other", "reserved"): NOT_FOUND,
        ("stranger", "reserved_cancelled"): NOT_FOUND,
        ("stranger", "open"): NOT_YOURS,
        ("other", "open"): NOT_YOURS,
        ("favourite", "reserved"): NOT_YOURS,
        ("winner", "accepted"): NOT_YOURS,
        ("customer", "accepted"): NOT_PENDING,
        ("customer", "completed"): NOT_PENDING,
        ("customer", "cancelled"): CANCELLED,
        ("customer", "reserved_cancelled"): CANCELLED,
        ("customer", "expired"): EXPIRED,
        ("customer", "stale"): EXPIRED,
        ("nobody", "open"): NOT_SIGNED_IN,
        ("nobody", "null"): NOT_SIGNED_IN,
        ("anon", "open"): DENIED,
        ("service_role", "open"): DENIED,
    },
    "complete_session_request": {
        ("winner", "null"): NOT_FOUND,
        ("winner", "unknown"): NOT_FOUND,
        ("winner", "reserved"): NOT_FOUND,
        ("other", "reserved_accepted"): NOT_FOUND,
        ("other", "accepted"): NOT_YOURS,
        ("other", "open"): NOT_YOURS,
        ("favourite", "reserved"): NOT_YOURS,
        ("winner", "dropped"): CANCELLED,
        ("winner", "given_back"): NOT_YOURS,
        ("winner", "not_come"): NOT_YOURS,
        ("customer", "accepted"): NOT_A_MECHANIC,
        ("stranger", "accepted"): NOT_A_MECHANIC,
        ("suspended", "accepted"): NOT_A_MECHANIC,
        ("nobody", "accepted"): NOT_SIGNED_IN,
        ("anon", "accepted"): DENIED,
        ("service_role", "accepted"): DENIED,
    },
    "release_session_request": {
        ("winner", "null"): NOT_FOUND,
        ("winner", "unknown"): NOT_FOUND,
        ("winner", "reserved"): NOT_FOUND,
        ("other", "reserved_accepted"): NOT_FOUND,
        ("other", "accepted"): NOT_YOURS,
        ("other", "open"): NOT_YOURS,
        ("other", "given_back"): NOT_YOURS,
        ("favourite", "reserved"): NOT_YOURS,
        ("winner", "not_come"): NOT_PENDING,
        ("winner", "completed"): NOT_PENDING,
        ("winner", "dropped"): CANCELLED,
        ("customer", "accepted"): NOT_A_MECHANIC,
        ("suspended", "accepted"): NOT_A_MECHANIC,
        ("nobody", "accepted"): NOT_SIGNED_IN,
        ("anon", "accepted"): DENIED,
        ("service_role", "accepted"): DENIED,
    },
    "reopen_session_request": {
        ("customer", "null"): NOT_FOUND,
        ("customer", "unknown"): NOT_FOUND,
        ("stranger", "reserved"): NOT_FOUND,
        ("other", "reserved_accepted"): NOT_FOUND,
        ("stranger", "open"): NOT_YOURS,
        ("stranger", "not_come"): NOT_YOURS,
        ("winner", "accepted"): NOT_YOURS,
        ("winner", "not_come"): NOT_YOURS,
        ("customer", "accepted"): TOO_EARLY,
        ("customer", "reserved_accepted"): TOO_EARLY,
        ("customer", "open"): NOT_PENDING,
        ("customer", "given_back"): NOT_PENDING,
        ("customer", "completed"): NOT_PENDING,
        ("customer", "cancelled"): CANCELLED,
        ("customer", "expired"): EXPIRED,
        ("customer", "stale"): EXPIRED,
        ("nobody", "accepted"): NOT_SIGNED_IN,
        ("anon", "accepted"): DENIED,
        ("service_role", "accepted"): DENIED,
    },
    "get_session_request_timeline": {
        ("customer", "null"): NOT_FOUND,
        ("customer", "unknown"): NOT_FOUND,
        ("stranger", "reserved"): NOT_FOUND,
        ("other", "reserved"): NOT_FOUND,
        ("stranger", "open"): NOT_YOURS,
        ("winner", "accepted"): NOT_YOURS,
        ("nobody", "open"): NOT_SIGNED_IN,
        ("anon", "open"): DENIED,
        ("service_role", "open"): DENIED,
    },
}
OF_A_REQUEST["list_session_request_mechanics"] = OF_A_REQUEST["get_session_request_timeline"]
OF_A_REQUEST["broadcast_session_request_now"] = OF_A_REQUEST["cancel_session_request"]


@pytest.mark.parametrize(
    ("function", "who", "request_name", "error"),
    [
        (function, who, request, error)
        for function, cases in OF_A_REQUEST.items()
        for (who, request), error in cases.items()
    ],
)
def test_a_request_that_is_not_theirs_to_change(
    scene: Scene, function: str, who: str, request_name: str, error: tuple[str, str | None]
) -> None:
    with scene.db.unchanged(), refused(*error):
        rpc(scene.act(who), function, request_id=scene.requests[request_name])


MIA = "00000000-0000-4000-8000-00000000000a"
PLAN = ("PT422", "invalid_plan")
ROUTING = ("PT422", "invalid_routing_type")
WINDOW = ("PT422", "invalid_window")
NOTES = ("PT422", "invalid_notes")
STATUS = ("PT422", "invalid_status")
CHECKOUT: dict[str, Any] = {"plan_code": "quick-chat"}
FREE: dict[str, Any] = {"plan_code": "free-diagnostic"}
FAVOURITE: dict[str, Any] = {"preferred_mechanic_id": MIA}
PRIORITY: dict[str, Any] = {"routing_type": "priority_broadcast"}

OTHERS: list[tuple[str, str, dict[str, Any], tuple[str, str | None]]] = [
    *[
        ("prepare_checkout", "customer", {"plan_code": code}, PLAN)
        for code in (None, "", "unknown", "old-paid", "QUICK-CHAT", "x" * 5000)
    ],
    *[
        ("request_free_session", "customer", {"plan_code": code}, PLAN)
        for code in (None, "", "unknown", "quick-chat", "old-free")
    ],
    *[
        (
            function,
            "customer",
            plan | {"routing_type": routing, "preferred_mechanic_id": MIA},
            ROUTING,
        )
        for function, plan in (("prepare_checkout", CHECKOUT), ("request_free_session", FREE))
        for routing in (None, "", "priority", "Broadcast")
    ],
    ("prepare_checkout", "customer", CHECKOUT | PRIORITY, ROUTING),
    ("request_free_session", "customer", FREE | PRIORITY, ROUTING),
    *[
        (
            "prepare_checkout",
            "customer",
            CHECKOUT
            | PRIORITY
            | {"preferred_mechanic_id": MIA, "priority_window_minutes": minutes},
            WINDOW,
        )
        for minutes in (0, 61, -1, 2**31 - 1)
    ],
    *[
        (function, "customer", plan | {"notes": "x" * 501}, NOTES)
        for function, plan in (("prepare_checkout", CHECKOUT), ("request_free_session", FREE))
    ],
    *[
        ("set_presence", "other", {"status": status}, STATUS)
        for status in (None, "", "ONLINE", "gone", "online ")
    ],
    ("set_presence", "customer", {"status": "online"}, NOT_A_MECHANIC),
    ("set_presence", "suspended", {"status": "offline"}, NOT_A_MECHANIC),
    ("set_presence", "applicant", {"status": "online"}, NOT_A_MECHANIC),
    ("list_open_session_requests", "customer", {}, NOT_A_MECHANIC),
    ("list_open_session_requests", "suspended", {}, NOT_A_MECHANIC),
    *[
        (function, who, arguments, error)
        for function, arguments in {
            "prepare_checkout": CHECKOUT,
            "request_free_session": FREE,
            "set_presence": {"status": "online"},
            "list_open_session_requests": {},
            "list_favorite_mechanics": {},
            "list_session_request_events": {},
            "get_mechanic_status": {"mechanic_id": MIA},
            "list_session_request_payments": {"request_ids": "{}"},
        }.items()
        for who, error in {
            "nobody": NOT_SIGNED_IN,
            "anon": DENIED,
            "service_role": DENIED,
        }.items()
    ],
    *[
        ("process_stripe_event", who, {"event": {}}, DENIED)
        for who in ("customer", "favourite", "nobody", "anon")
    ],
]


@pytest.mark.parametrize(("function", "who", "arguments", "error"), OTHERS)
def test_a_call_that_makes_no_sense(
    scene: Scene, function: str, who: str, arguments: dict[str, Any], error: tuple[str, str | None]
) -> None:
    with scene.db.unchanged(), refused(*error):
        rpc(scene.act(who), function, **arguments)


def test_every_error_has_status_message_and_hint(scene: Scene) -> None:
    words = {
        "not_signed_in": "PT401",
        "not_a_mechanic": "PT403",
        "not_yours": "PT403",
        "feature_disabled": "PT404",
        "request_not_found": "PT404",
        "request_taken": "PT409",
        "request_not_pending": "PT409",
        "booking_refused": "PT409",
        "request_cancelled": "PT410",
        "request_expired": "PT410",
        "invalid_plan": "PT422",
        "invalid_routing_type": "PT422",
        "invalid_window": "PT422",
        "invalid_status": "PT422",
        "invalid_event": "PT422",
    }
    for detail, sqlstate in words.items():
        with refused(sqlstate, detail):
            scene.db.sql("select dispatch.raise_error(%s)", detail)


def test_an_assigned_but_pending_request_cannot_be_completed(shared: Database) -> None:
    mechanic = shared.make_mechanic()
    request = shared.make_request(mechanic_id=mechanic)
    with shared.unchanged(), refused(*NOT_PENDING):
        rpc(shared.connect(mechanic), "complete_session_request", request_id=request)


@pytest.mark.parametrize(
    ("function", "plan"),
    [("prepare_checkout", CHECKOUT), ("request_free_session", FREE)],
    ids=["prepare_checkout", "request_free_session"],
)
def test_a_token_that_outlives_its_account_books_nothing(
    shared: Database, function: str, plan: dict[str, object]
) -> None:
    """Nor is anything to be paid for which nobody could be booked."""
    with shared.unchanged(), refused(*NOT_SIGNED_IN):
        rpc(shared.connect(UNKNOWN), function, **plan)
