"""An accepted request that its mechanic gives back, or to which they did not come."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import psycopg
import pytest

from tests.database import (
    Connection,
    Database,
    at_once,
    checkout,
    refund,
    refused,
    rows,
    rpc,
    value,
)

PAYMENT = "pi_given_back"


class Job:
    """A paid request that a mechanic has accepted; others wait."""

    def __init__(self, db: Database, preferred: bool = False) -> None:
        self.db = db
        self.customer = db.make_customer()
        self.mechanics = [db.make_mechanic() for _ in range(3)]
        self.act = {each: db.connect(each) for each in (self.customer, *self.mechanics)}
        self.backend = db.connect(role="service_role")
        self.request = self.book(self.mechanics[0] if preferred else None)
        self.accept(0)

    def book(self, preferred: str | None) -> str:
        event = checkout(self.customer, preferred, payment=PAYMENT)
        return str(rpc(self.backend, "process_stripe_event", event=event)["request_id"])

    def of(self, place: int) -> Connection:
        return self.act[self.mechanics[place]]

    def accept(self, place: int) -> Any:
        return rpc(self.of(place), "accept_session_request", request_id=self.request)

    def release(self, place: int = 0, **given: object) -> Any:
        return rpc(self.of(place), "release_session_request", request_id=self.request, **given)

    def complete(self, place: int = 0) -> Any:
        return rpc(self.of(place), "complete_session_request", request_id=self.request)

    def wait(self, minutes: float = 10) -> None:
        """It was accepted so long ago."""
        self.db.sql(
            "update session_requests set accepted_at = now() - make_interval(secs => %s)"
            " where id = %s",
            minutes * 60,
            self.request,
        )

    def reopen(self) -> Any:
        return rpc(self.act[self.customer], "reopen_session_request", request_id=self.request)

    def cancel(self) -> Any:
        return rpc(self.act[self.customer], "cancel_session_request", request_id=self.request)

    def refund(self) -> Any:
        return rpc(self.backend, "process_stripe_event", event=refund(PAYMENT))

    def row(self) -> dict[str, Any]:
        return self.db.request(self.request)

    def log(self) -> list[str]:
        return self.db.log(self.request)

    def is_open_to(self, place: int) -> bool:
        """By the list, the table and the choice of recipients, which must agree."""
        own, user = self.of(place), self.mechanics[place]
        listed = rpc(own, "list_open_session_requests")
        choice = "select mechanic_id::text from dispatch.choose_recipients(%s, %s)"
        words = "select may_accept from dispatch.explain_routing(%s) where mechanic_id = %s"
        found = {
            self.request in [each["request_id"] for each in listed],
            bool(rows(own, "select id from session_requests where id = %s", self.request)),
            user in [each["mechanic_id"] for each in self.db.sql(choice, self.request, None)],
            user in [each["mechanic_id"] for each in self.db.sql(choice, self.request, 5)],
            self.db.value(words, self.request, user),
        }
        assert len(found) == 1, found
        return bool(found.pop())

    def payment(self) -> str:
        listed = "select status from public.list_session_request_payments(array[%s::uuid])"
        return str(value(self.act[self.customer], listed, self.request))

    def is_refund_due(self) -> bool:
        """By health, by the owner's list and by the customer's, which must agree."""
        health = "select not ok from dispatch.health() where check_name = 'refunds_due'"
        unsettled = (
            "select exists (select from dispatch.unsettled_requests() where request_id = %s)"
        )
        found = {
            self.db.value(health),
            self.db.value(unsettled, self.request),
            self.payment() == "refund_due",
        }
        assert len(found) == 1, found
        return bool(found.pop())


@pytest.fixture(name="job")
def fixture_job(shared: Database) -> Job:
    return Job(shared)


def test_given_back_it_is_everyones_but_theirs(job: Job) -> None:
    job.db.sql("update session_requests set expires_at = now() - interval '1 hour'")
    answer = job.release(reason="a flat tyre " * 20)
    assert job.log() == [
        "new_request",
        "request_accepted",
        "request_released:released",
        "new_request",
    ]
    released, broadcast = job.db.events(job.request)[2:]
    assert answer.keys() == {"request_id", "released_at"}
    assert answer["request_id"] == job.request
    # Not as text: PostgreSQL leaves out zeros at the end.
    assert job.db.value("select %s::timestamptz", answer["released_at"]) == released["created_at"]
    assert released["topics"] == [f"customer:{job.customer}", f"mechanic:{job.mechanics[0]}"]
    assert str(released["actor_id"]) == job.mechanics[0]
    assert released["payload"]["decline_reason"] == ("a flat tyre " * 20)[:100]
    assert broadcast["topics"] == [f"customer:{job.customer}", "session_requests_feed"]
    assert broadcast["payload"]["is_fallback_broadcast"] is False

    row = job.row()
    assert (row["status"], row["mechanic_id"], row["accepted_at"]) == ("pending", None, None)
    assert row["notification_sent_at"] == broadcast["created_at"]
    assert (row["expires_at"] - broadcast["created_at"]).total_seconds() == 24 * 3600
    assert [job.is_open_to(each) for each in range(3)] == [False, True, True]
    for function in ("accept_session_request", "decline_session_request"):
        with refused("PT404", "request_not_found"):
            rpc(job.of(0), function, request_id=job.request)
    with refused("PT403", "not_yours"):
        job.complete()
    # The answer was lost, perhaps: the same one, and nothing more happens. Later too.
    assert job.release() == answer
    assert job.accept(1)["status"] == "accepted"
    assert job.release() == answer
    assert job.log()[4:] == ["request_accepted"]
    assert job.payment() == "paid" and not job.is_refund_due()
    assert job.complete(1)["status"] == "completed"


def test_nobody_hears_why_it_was_given_back(job: Job) -> None:
    job.release(reason="secret")
    for act in job.act.values():
        for event in rpc(act, "list_session_request_events"):
            assert "secret" not in str(event)
    timeline = rpc(job.act[job.customer], "get_session_request_timeline", request_id=job.request)
    assert [(each["event"], each["actor"], each["reason"]) for each in timeline][-2:] == [
        ("request_released", "mechanic", "released"),
        ("new_request", "mechanic", None),
    ]


def test_a_favourite_who_gives_it_back_has_no_window_any_more(shared: Database) -> None:
    job = Job(shared, preferred=True)
    told = "preferred_mechanic_id", "priority_window_minutes", "priority_notified_at"
    before = [job.row()[each] for each in told]
    job.release()
    assert job.log()[1:] == ["request_accepted", "request_released:released", "new_request"]
    assert job.db.events(job.request)[-1]["payload"]["is_fallback_broadcast"] is False
    assert [job.row()[each] for each in told] == before
    assert [job.is_open_to(each) for each in range(3)] == [False, True, True]
    assert shared.sweep() == 0
    shared.sql("select dispatch.set_favorites_priority(false)")
    assert [job.is_open_to(each) for each in range(3)] == [False, True, True]
    shared.sql("select dispatch.set_favorites_priority(true)")
    assert job.accept(1)["status"] == "accepted"


def test_why_it_is_not_open_to_them_is_explained(job: Job) -> None:
    why = "select why from dispatch.explain_routing(%s) where mechanic_id = %s"
    job.wait()
    job.reopen()
    found = job.db.value(why, job.request, job.mechanics[0])
    assert found.startswith("did not come, as the customer said at ")
    other = Job(job.db)
    other.release()
    assert job.db.value(why, other.request, other.mechanics[0]).startswith("gave it back at ")


def test_nobody_came(job: Job) -> None:
    job.wait(9.9)
    with refused("PT409", "too_early"), job.db.unchanged():
        job.reopen()
    job.wait()
    answer = job.reopen()
    assert (answer["id"], answer["status"]) == (job.request, "pending")
    assert answer["mechanic_id"] is None and "stripe_payment_intent" not in answer["metadata"]
    assert job.log()[2:] == ["request_released:no_show", "new_request"]
    assert str(job.db.events(job.request)[2]["actor_id"]) == job.customer
    assert [job.is_open_to(each) for each in range(3)] == [False, True, True]
    with job.db.unchanged():
        assert job.reopen() == answer
        # Who did not come has not given it back, and hears that it is not theirs.
        with refused("PT409", "request_not_pending"):
            job.release()
        with refused("PT403", "not_yours"):
            job.complete()
    # The next one has their ten minutes.
    job.accept(1)
    with refused("PT409", "too_early"):
        job.reopen()


def test_who_may_not(job: Job) -> None:
    job.wait()
    stranger = job.db.make_customer()
    with job.db.unchanged():
        for who, function, error in (
            (job.of(1), "release", ("PT403", "not_yours")),
            (job.act[job.customer], "release", ("PT403", "not_a_mechanic")),
            (job.of(0), "reopen", ("PT403", "not_yours")),
            (job.of(1), "reopen", ("PT403", "not_yours")),
            (job.db.connect(stranger), "reopen", ("PT403", "not_yours")),
        ):
            with refused(*error):
                rpc(who, f"{function}_session_request", request_id=job.request)
        for function in ("release", "reopen"):
            with refused("PT404", "request_not_found"):
                rpc(job.of(0), f"{function}_session_request", request_id=str(uuid.uuid4()))


STATES: dict[str, tuple[Callable[[Job], Any], tuple[str, str], tuple[str, str]]] = {
    "completed": (
        Job.complete,
        ("PT409", "request_not_pending"),
        ("PT409", "request_not_pending"),
    ),
    "cancelled": (
        lambda job: job.db.sql("update session_requests set status = 'cancelled'"),
        ("PT410", "request_cancelled"),
        ("PT410", "request_cancelled"),
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_what_is_over_stays_so(job: Job, state: str) -> None:
    end, of_release, of_reopen = STATES[state]
    job.wait()
    end(job)
    with job.db.unchanged():
        with refused(*of_release):
            job.release()
        with refused(*of_reopen):
            job.reopen()


def test_what_was_given_back_is_not_reopened(job: Job) -> None:
    """It is out again: the customer hears that the mechanic was faster."""
    job.release()
    with refused("PT409", "request_not_pending"), job.db.unchanged():
        job.reopen()


@pytest.mark.parametrize("second", ["released", "no_show"])
@pytest.mark.parametrize("first", ["released", "no_show"])
def test_the_second_time_it_is_cancelled_and_its_refund_is_due(
    job: Job, first: str, second: str
) -> None:
    def give_back(place: int, how: str) -> Any:
        job.wait()
        return job.release(place) if how == "released" else job.reopen()

    give_back(0, first)
    job.accept(1)
    answer = give_back(1, second)
    assert job.log()[4:] == [
        "request_accepted",
        f"request_released:{second}",
        "request_cancelled:cancelled",
    ]
    event = job.db.events(job.request)[-1]
    assert event["topics"] == [f"customer:{job.customer}", f"mechanic:{job.mechanics[1]}"]
    assert job.row()["status"] == "cancelled"
    assert not any(job.is_open_to(each) for each in range(3))
    assert job.is_refund_due()
    with job.db.unchanged():
        if second == "released":
            assert job.release(1) == answer
        else:
            assert answer["status"] == "cancelled"
            with refused("PT410", "request_cancelled"):
                job.reopen()
        with refused("PT410", "request_cancelled"):
            job.accept(2)
    job.refund()
    assert job.payment() == "refunded" and not job.is_refund_due()
    assert job.log()[-1] == "request_cancelled:cancelled"


def test_of_a_free_one_no_refund_is_due(shared: Database) -> None:
    class Free(Job):
        def book(self, preferred: str | None) -> str:
            act, plan = self.act[self.customer], "free-diagnostic"
            return str(rpc(act, "request_free_session", plan_code=plan)["id"])

    job = Free(shared)
    job.release()
    job.accept(1)
    job.release(1)
    assert job.row()["status"] == "cancelled"
    assert shared.value("select ok from dispatch.health() where check_name = 'refunds_due'")


def test_a_refund_of_what_was_given_back_cancels_it(job: Job) -> None:
    job.release()
    assert job.refund()["outcome"] == "refunded"
    assert job.log()[4:] == ["request_cancelled:refunded"]
    assert job.row()["status"] == "cancelled" and not job.is_refund_due()
    assert not any(job.is_open_to(each) for each in range(3))


@pytest.mark.parametrize("how", ["released", "no_show"])
def test_what_was_paid_back_does_not_go_out_again(job: Job, how: str) -> None:
    job.wait()
    job.refund()
    job.release() if how == "released" else job.reopen()
    assert job.log()[2:] == [
        "request_refunded",
        f"request_released:{how}",
        "request_cancelled:refunded",
    ]
    assert job.row()["status"] == "cancelled" and not job.is_refund_due()


def test_the_customers_cancel_stops_all_of_it(job: Job) -> None:
    job.release()
    assert job.cancel()["status"] == "cancelled"
    assert job.log()[4:] == ["request_cancelled:cancelled"]
    assert job.db.events(job.request)[-1]["topics"] == [
        f"customer:{job.customer}",
        "session_requests_feed",
    ]
    assert job.is_refund_due() and job.db.sweep() == 0
    assert not any(job.is_open_to(each) for each in range(3))
    with job.db.unchanged(), refused("PT410", "request_cancelled"):
        job.reopen()


def test_nobody_else_puts_it_back(job: Job) -> None:
    """Not one who gave it back before is in the way either: it is the next one's now."""
    back = "update session_requests set status = 'pending', mechanic_id = null where id = %s"
    for given_back in (False, True):
        if given_back:
            job.release()
            job.accept(1)
        for writer in (job.backend, job.db.owner):
            with refused("PT409", "request_not_pending"), job.db.unchanged():
                rows(writer, back, job.request)


def test_who_gave_it_back_does_not_get_it_by_a_writer_either(job: Job) -> None:
    job.release()
    hand_out = "update session_requests set mechanic_id = %s, status = %s where id = %s"
    for status in ("accepted", "pending"):
        with refused("PT404", "request_not_found"), job.db.unchanged():
            rows(job.backend, hand_out, job.mechanics[0], status, job.request)
    rows(job.backend, hand_out, job.mechanics[1], "accepted", job.request)


def test_of_a_mechanic_whose_account_is_gone_it_is_reopened(job: Job) -> None:
    job.wait()
    job.db.superuser().execute("delete from auth.users where id = %s", (job.mechanics[0],))
    assert job.reopen()["status"] == "pending"
    assert job.log()[2:] == ["request_released:no_show", "new_request"]
    assert job.db.events(job.request)[2]["topics"] == [f"customer:{job.customer}"]
    assert job.is_open_to(1) and job.is_open_to(2)
    assert job.accept(1)["status"] == "accepted"


def test_it_expires_a_day_after_it_went_out_again(job: Job) -> None:
    job.release()
    sweep = "select dispatch.sweep(1000, now() + interval '24 hours' + %s)"
    job.db.sql(sweep, "-1 second")
    assert job.row()["status"] == "pending"
    job.db.sql(sweep, "1 second")
    assert job.log()[4:] == ["request_cancelled:expired"] and job.is_refund_due()


def test_it_is_counted_as_one_request(job: Job) -> None:
    job.release()
    job.accept(1)
    (today,) = job.db.sql(
        "select * from dispatch.metrics where day = (now() at time zone 'UTC')::date"
    )
    assert (today["requests_total"], today["accepts_total"]) == (1, 2)


def test_a_trigger_of_the_marketplaces_own_that_keeps_it(job: Job) -> None:
    """Nothing is logged of what did not happen."""
    job.db.sql(
        "create function public.keep() returns trigger language plpgsql"
        " as $$ begin return case when new.status <> 'pending' then new end; end $$"
    )
    job.db.sql(
        "create trigger keep before update on session_requests"
        " for each row execute function public.keep()"
    )
    try:
        with refused("PT409", "request_not_pending"), job.db.unchanged():
            job.release()
    finally:
        job.db.sql("drop function public.keep() cascade")


# --- Two at once ---


FUNCTIONS = {
    "release": "release_session_request",
    "reopen": "reopen_session_request",
    "complete": "complete_session_request",
    "cancel": "cancel_session_request",
    "accept": "accept_session_request",
}
# What the second is told, who waited until the first had happened; null: done as well.
TOLD = {
    ("release", "reopen"): "request_not_pending",
    ("release", "complete"): "not_yours",
    ("release", "cancel"): None,
    ("release", "refund"): None,
    ("reopen", "release"): "request_not_pending",
    ("reopen", "complete"): "not_yours",
    ("reopen", "cancel"): None,
    ("reopen", "refund"): None,
    ("complete", "release"): "request_not_pending",
    ("complete", "reopen"): "request_not_pending",
    ("complete", "cancel"): "request_not_pending",
    ("refund", "release"): None,
    ("refund", "reopen"): None,
    ("refund", "complete"): None,
}


def racer(job: Job, action: str) -> tuple[Connection, Callable[[], Any]]:
    """A connection of its own, and what is done there."""
    if action == "refund":
        connection = job.db.connect(role="service_role")
        return connection, partial(rpc, connection, "process_stripe_event", event=refund(PAYMENT))
    person = {"reopen": job.customer, "cancel": job.customer, "accept": job.mechanics[1]}
    connection = job.db.connect(person.get(action, job.mechanics[0]))
    return connection, partial(rpc, connection, FUNCTIONS[action], request_id=job.request)


def check(job: Job) -> None:
    """The log tells one story, which ends where the row is."""
    log = [each for each in job.log() if each != "request_refunded"]
    assert sum(each.startswith("request_released") for each in log) <= 1, log
    assert all(one != two for one, two in pairwise(log)), log
    ends = {
        "pending": "new_request",
        "accepted": "request_accepted",
        "completed": "request_completed",
        "cancelled": "request_cancelled",
    }
    assert log[-1].split(":")[0] == ends[job.row()["status"]], log


@pytest.mark.parametrize(("first", "second"), TOLD)
def test_who_waits_is_told_what_the_other_did(shared: Database, first: str, second: str) -> None:
    job = Job(shared)
    job.wait()
    (holder, act), (waiting, react) = racer(job, first), racer(job, second)
    with ThreadPoolExecutor() as pool, holder.transaction():
        act()
        later = pool.submit(at_once, react)
        shared.wait_until_blocked(waiting)
    (answer,) = later.result()
    if told := TOLD[first, second]:
        assert answer.diag.message_detail == told, answer
    else:
        assert not isinstance(answer, psycopg.Error), answer
    check(job)


@pytest.mark.parametrize("first", ["release", "reopen"])
def test_who_accepts_what_is_being_given_back(shared: Database, first: str) -> None:
    """It is taken until that is done; then the first of the next two has it."""
    job = Job(shared)
    job.wait()
    (holder, act), (_, accept) = racer(job, first), racer(job, "accept")
    with holder.transaction():
        act()
        (answer,) = at_once(accept)
        assert answer.diag.message_detail == "request_taken"
    accept()
    check(job)


@pytest.mark.parametrize("three", [*combinations([*FUNCTIONS, "refund"], 3)], ids="-".join)
def test_three_at_the_very_same_moment(shared: Database, three: tuple[str, ...]) -> None:
    job = Job(shared)
    job.wait()
    answers = at_once(*(racer(job, each)[1] for each in three))
    failed = [each for each in answers if isinstance(each, psycopg.Error)]
    assert {each.sqlstate for each in failed} <= {"PT403", "PT404", "PT409", "PT410"}, failed
    check(job)
