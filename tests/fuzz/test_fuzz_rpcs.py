"""Any sequence of calls: each is answered as the model says, and the tables are as it says."""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chaos import checks, record
from stack.postgres import Cluster
from tests.database import TEMPLATE, Row, become, checkout, fresh_database, refund, rows, rpc
from tests.fuzz.marketplaces import Garage, Ours
from tests.fuzz.model import Model, Request

STEPS = 40
# Of a favourite's window; three are within an hour.
MINUTES = st.sampled_from((5, 15))
UNKNOWN = str(uuid.UUID(int=0))
COMMANDS: dict[str, Callable[[Model, str, str], str | None]] = {
    "accept_session_request": Model.accept,
    "decline_session_request": Model.decline,
    "complete_session_request": Model.complete,
    "cancel_session_request": Model.cancel,
    "broadcast_session_request_now": Model.broadcast_now,
    "release_session_request": Model.release,
    "reopen_session_request": Model.reopen,
    "get_session_request_timeline": Model.timeline,
}


class Marketplace(RuleBasedStateMachine):
    # Set by the test.
    place: Ours
    tried: Callable[[], int]

    users = Bundle("users")
    requests = Bundle("requests")
    events = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.db, self.client = self.place.db, self.place.client
        self.db.empty()
        self.db.sql("select dispatch.set_favorites_priority(true)")
        self.db.sql("select dispatch.set_max_open_sessions(null)")
        self.model = Model(self.place.governs_all)
        self.gone: set[str] = set()
        self.steps = 0
        self.caller, self.heard = "", 0

    def teardown(self) -> None:
        if self.place.governs_all:
            found = record.Database.read(self.db.dsn())
            assert list(checks.transitions_make_sense(record.Record(), found)) == []

    def call(self, user: str, function: str, **arguments: object) -> Any:
        """The answer, or the error's detail as (word,); neither has another person's text."""
        become(self.client, user)
        return self.answer(user, lambda: rpc(self.client, function, **arguments))

    def answer(self, user: str, ask: Callable[[], Any]) -> Any:
        answer: Any
        try:
            answer = ask()
            text = str(answer)
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PT"):
                raise
            answer, text = (error.diag.message_detail,), str(error)
        for request_id in re.findall(r"secret of ([-0-9a-f]+)", text):
            request = self.model.requests[request_id]
            assert user in (request.customer, request.winner)
        return answer

    def booked(
        self,
        request_id: str,
        customer: str,
        wanted: list[str],
        payment: str | None = None,
        minutes: int = 10,
        skips_offline: bool = False,
    ) -> str:
        can = [
            each
            for each in wanted
            if self.model.can_be_asked(each, customer)
            and (each in self.model.online or not skips_offline)
        ]
        asked = [*dict.fromkeys(can)] if self.model.enabled else []
        favourite = asked[0] if asked else None
        request = Request(request_id, customer, favourite, payment, asked[1:], minutes)
        self.model.book(request)
        secrets = ", ".join(f"{each} = 'secret of {request_id}'" for each in self.place.secrets)
        self.db.sql(f"update session_requests set {secrets} where id = %s", request_id)
        return request_id

    @initialize(target=users)
    def make_users(self) -> Any:
        mechanics = [self.place.make_mechanic() for _ in range(3)]
        self.model.approved |= set(mechanics)
        for mechanic in mechanics:
            self.press(mechanic, "online")
        return multiple(*mechanics, *(self.db.make_customer() for _ in range(2)))

    # Bookings, in all the ways there are.

    @rule(target=requests, customer=users, wanted=st.none() | users, minutes=MINUTES)
    def insert(self, customer: str, wanted: str | None, minutes: int) -> str:
        request_id = self.place.book(customer, wanted, minutes)
        return self.booked(request_id, customer, [wanted] if wanted else [], None, minutes)

    @rule(target=requests, customer=users, wanted=st.lists(users, max_size=3, unique=True))
    def book_free(self, customer: str, wanted: list[str]) -> Any:
        kind = "priority_broadcast" if wanted else "broadcast"
        answer = self.call(
            customer,
            "request_free_session",
            plan_code=self.place.free_plan,
            preferred_mechanic_ids=f"{{{self.ids(wanted)}}}" if wanted else None,
            routing_type=kind,
        )
        return self.booked(answer["id"], customer, wanted)

    @rule(
        target=events,
        customer=users,
        wanted=st.lists(users, max_size=3),
        minutes=MINUTES,
        skips_offline=st.booleans(),
    )
    def check_out(
        self, customer: str, wanted: list[str], minutes: int, skips_offline: bool
    ) -> dict[str, Any]:
        event = checkout(
            customer,
            self.ids(wanted[:1]) or None,
            plan=self.place.plan,
            session_type="chat",
            preferred_mechanic_ids=self.ids(wanted) or None,
            priority_window_minutes=str(minutes),
            skip_if_offline="true" if skips_offline else None,
        )
        return event | {"wanted": wanted}

    def ids(self, users: list[str]) -> str:
        return ",".join(map(self.place.mechanic_id, users))

    @rule(target=requests, event=events)
    def pay(self, event: dict[str, Any]) -> Any:
        become(self.client, role="service_role")
        answer = rpc(self.client, "process_stripe_event", event=event)
        session = event["data"]["object"]
        request_id = answer["request_id"]
        metadata = session["metadata"]
        if metadata["customer_id"] in self.gone:
            assert request_id is None and answer["outcome"] in ("error", "duplicate")
            return multiple()
        if request_id in self.model.requests:
            assert answer["outcome"] == "duplicate" and not answer["created"]
            return multiple()
        assert answer["outcome"] == "request_created" and answer["created"]
        return self.booked(
            request_id,
            metadata["customer_id"],
            event["wanted"],
            session["payment_intent"],
            int(metadata["priority_window_minutes"]),
            "skip_if_offline" in metadata,
        )

    @rule(event=events)
    def refund(self, event: dict[str, Any]) -> None:
        payment = event["data"]["object"]["payment_intent"]
        become(self.client, role="service_role")
        answer = rpc(self.client, "process_stripe_event", event=refund(payment))
        assert answer["outcome"] == "refunded"
        self.model.refund(payment)

    # What clients ask for.

    def command(self, function: str, request: str, user: str) -> None:
        refused = COMMANDS[function](self.model, request, user)
        self.caller = user
        answer = self.call(user, function, request_id=request)
        assert (answer[0] if isinstance(answer, tuple) else None) == refused

    @rule(request=requests, user=users)
    def accept(self, request: str, user: str) -> None:
        self.command("accept_session_request", request, user)

    @rule(request=requests, user=users)
    def decline(self, request: str, user: str) -> None:
        self.command("decline_session_request", request, user)

    @rule(user=users, status=st.sampled_from(("online", "online", "busy", "away", "offline")))
    def press(self, user: str, status: str) -> None:
        refused = self.model.press(user, status)
        self.caller = user
        answer = self.call(user, "set_presence", status=status)
        assert (answer[0] if isinstance(answer, tuple) else None) == refused
        self.place.clock.execute(self.place.heartbeat.encode(), [self.place.mechanic_id(user)])

    @rule(request=requests, user=users)
    def accept_by_update(self, request: str, user: str) -> None:
        """The marketplace's backend does, by its conditional UPDATE."""
        self.by_update(
            lambda: self.model.accept_by_update(request, user),
            "mechanic_id = %s, status = 'accepted', accepted_at = now()"
            " where id = %s and status = 'pending' and mechanic_id is null",
            *(user, request),
        )

    @rule(request=requests)
    def complete_by_update(self, request: str) -> None:
        self.by_update(
            lambda: self.model.complete_by_update(request),
            "status = 'completed' where id = %s and status = 'accepted'",
            request,
        )

    def by_update(self, refusal: Callable[[], str | None], change: str, *values: str) -> None:
        query = f"update session_requests set {change} returning id"
        is_unseen = not self.place.governs_all and self.model.limit is not None
        if is_unseen:
            self.sweep()
        refused = refusal()
        answer = self.answer("", lambda: len(rows(self.place.backend, query, *values)))
        assert answer == ((refused,) if refused and refused != "no_row" else int(not refused))
        if is_unseen:
            self.db.sql("select dispatch.follow_sessions()")

    @rule(function=st.sampled_from(sorted(COMMANDS)), request=requests)
    def the_favourite_answers(self, function: str, request: str) -> None:
        favourite = request in self.model.requests and self.model.requests[request].favourite
        if favourite:
            self.command(function, request, favourite)

    @rule(function=st.sampled_from(sorted(COMMANDS)), request=requests, user=users)
    def ask_for_anything(self, function: str, request: str, user: str) -> None:
        self.command(function, request, user)

    @rule(function=st.sampled_from(sorted(COMMANDS)), user=users)
    def ask_for_what_is_not_there(self, function: str, user: str) -> None:
        self.command(function, UNKNOWN, user)

    @rule(user=users, after=st.integers(-1, 100), most=st.integers(-1, 100))
    def read_events(self, user: str, after: int, most: int) -> None:
        topics = {f"customer:{user}"}
        if user in self.model.approved:
            topics |= {f"mechanic:{user}", "session_requests_feed"}
        answer = self.call(user, "list_session_request_events", after=after, max_rows=most)
        addressed = [
            event["id"]
            for event in self.db.events()
            if topics & set(event["topics"]) and self.may_hear_of(user, event)
        ]
        wanted = [event for event in addressed if event > after][: max(most, 0)]
        assert [row["event_id"] for row in answer] == wanted

    def may_hear_of(self, user: str, event: Row) -> bool:
        """The customer of what is not for them alone, nor theirs, has not blocked them, or they the
        customer."""
        request = self.model.requests.get(str(event["request_id"]))
        customer = event["topics"][0].removeprefix("customer:")
        return (
            f"mechanic:{user}" in event["topics"]
            or not self.model.is_blocked(user, customer)
            or (request is not None and request.winner == user)
        )

    @rule(user=users, other=users, is_blocked=st.booleans())
    def block(self, user: str, other: str, is_blocked: bool) -> None:
        function = "block_mechanic" if is_blocked else "unblock_mechanic"
        assert not self.call(user, function, mechanic_id=self.place.mechanic_id(other))
        if self.db.sql("select 1 from dispatch.mechanics where user_id = %s", other):
            self.model.block(user, other, is_blocked)

    @rule(request=requests, is_blocked=st.booleans())
    def block_their_customer(self, request: str, is_blocked: bool) -> None:
        found = self.model.requests.get(request)
        if found and found.winner in self.model.approved:
            function = "block_customer" if is_blocked else "unblock_customer"
            assert not self.call(str(found.winner), function, request_id=request)
            self.model.block(str(found.winner), found.customer, is_blocked)

    # What happens without them.

    @rule(tens=st.integers(1, 4))
    def let_time_pass(self, tens: int) -> None:
        """Everything was earlier. No window ends within five minutes after such a step but at its
        very end, so that the time the test itself takes changes nothing."""
        self.place.let_time_pass(tens * 10)
        self.model.now += tens * 10

    @rule(request=requests)
    def let_it_grow_stale(self, request: str) -> None:
        found = self.model.requests.get(request)
        # Theirs counts from the end of the last window, whatever they say of it.
        is_over = found and (found.broadcast or self.place.governs_all)
        if found and found.status == "pending" and is_over:
            stale = b"update session_requests set expires_at = now() where id = %s"
            self.place.clock.execute(stale, [request])
            found.stale = True

    @rule()
    def sweep(self) -> None:
        self.db.sweep()
        self.model.sweep()
        self.place.expire()
        self.model.expire()

    @rule(enabled=st.booleans())
    def turn_the_flag(self, enabled: bool) -> None:
        self.db.sql("select dispatch.set_favorites_priority(%s)", enabled)
        self.model.turn(enabled)

    @rule(limit=st.sampled_from((None, 1, 2)))
    def limit_open_sessions(self, limit: int | None) -> None:
        self.db.sql("select dispatch.set_max_open_sessions(%s)", limit)
        self.model.set_limit(limit)

    @rule(user=users)
    def suspend(self, user: str) -> None:
        self.db.sql(self.place.suspend, self.place.mechanic_id(user))
        self.model.suspend(user)

    @rule(user=users)
    def approve(self, user: str) -> None:
        if self.db.sql(self.place.approve, self.place.mechanic_id(user)):
            self.model.approve(user)

    @precondition(lambda self: len(self.model.requests) > 5)
    @rule(user=consumes(users))
    def delete(self, user: str) -> None:
        self.db.sql("delete from auth.users where id = %s", user)
        self.model.delete(user)
        self.gone.add(user)

    @invariant()
    def the_table_is_as_the_model(self) -> None:
        found = {
            row["id"]: (row["status"], row["mechanic_id"], row["broadcast"])
            for row in self.db.sql(self.place.written)
        }
        # What the clock has ended may be announced at any time.
        for each in self.model.pending():
            self.model.whose_turn(each)
            if self.model.enabled and self.model.is_over(each) and not each.broadcast:
                each.broadcast = found[each.id][2]
        assert found == {
            each.id: (each.status, each.winner, each.broadcast)
            for each in self.model.requests.values()
        }

    @invariant()
    def who_let_two_windows_pass_is_away(self) -> None:
        away = []
        for event in self.db.sql(
            "select id, event, request_id::text as request, topics, payload ->> 'reason' as reason"
            " from dispatch.request_events where id > %s order by id",
            self.heard,
        ):
            self.heard = event.pop("id")
            self.model.hear(**event, by=self.caller)
            if event["event"] == "mechanic_away":
                away += event["topics"]
        # Two of one sweep come in either order.
        assert sorted(f"mechanic:{each}" for each in self.model.away) == sorted(away)
        self.model.away, self.caller = [], ""
        said = (
            "select user_id::text from dispatch.mechanics where is_online and user_id is not null"
        )
        assert {row["user_id"] for row in self.db.sql(said)} == self.model.online

    @invariant()
    def a_mechanic_sees_what_is_open_to_them(self) -> None:
        self.steps += 1
        self.tried()
        approved = sorted(self.model.approved)
        for user in approved[self.steps % len(approved) :][:1] if approved else ():
            listed = self.call(user, "list_open_session_requests")
            assert {row["request_id"] for row in listed} == self.model.open_to(user)
            query = b"select id::text from session_requests where status = 'pending'"
            own = {r.id for r in self.model.pending() if r.customer == user}
            assert {row[0] for row in self.client.execute(query)} - own == self.model.shown_to(user)


@pytest.fixture(params=[Ours, Garage], ids=["ours", "theirs"])
def place(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Ours]:
    template = TEMPLATE if request.param is Ours else "template1"
    with fresh_database(cluster, template) as db:
        if request.param is Garage:
            Garage.install(db)
        yield request.param(db)


def test_any_sequence_of_calls(place: Ours, inputs: int, tried: Callable[[], int]) -> None:
    Marketplace.place, Marketplace.tried = place, staticmethod(tried)
    run_state_machine_as_test(
        Marketplace,
        settings=settings(max_examples=max(1, inputs // STEPS), stateful_step_count=STEPS),
    )
