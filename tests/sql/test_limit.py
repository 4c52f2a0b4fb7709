"""dispatch.set_max_open_sessions: who has their hands full is not asked, and cannot accept."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from stack import ROOT
from stack.install import install
from stack.postgres import run_psql
from tests.database import Database, Row, at_once, refused, rows, rpc
from tests.sql.test_chain import ONE, OTHER, THREE, TWO, at, book, listed, pass_time, told

VERIFY = str(ROOT / "sql/favorites_priority/verify.sql")
CAPACITY = ("PT409", "at_capacity")


def limit(db: Database, count: int | None) -> None:
    db.sql("select dispatch.set_max_open_sessions(%s)", count)


@pytest.fixture
def limited(db: Database) -> Database:
    limit(db, 1)
    return db


@pytest.fixture
def people(limited: Database) -> list[str]:
    return [limited.make_mechanic() for _ in range(4)]


def accept(db: Database, mechanic: str, request: str) -> Row:
    answer: Row = rpc(db.connect(mechanic), "accept_session_request", request_id=request)
    return answer


def complete(db: Database, mechanic: str, request: str) -> None:
    rpc(db.connect(mechanic), "complete_session_request", request_id=request)


def fill(db: Database, mechanic: str) -> str:
    request = db.make_request()
    accept(db, mechanic, request)
    return request


def test_without_a_limit_nothing_is_counted(db: Database) -> None:
    mechanic = db.make_mechanic()
    assert db.value("select dispatch.max_open_sessions()") is None
    for _ in range(3):
        fill(db, mechanic)
    book(db, mechanic)
    connection = db.connect(mechanic)  # one whose plans are made
    for count, open_requests in ((None, 1), (3, 0), (4, 1), (3, 0), (None, 1)):
        limit(db, count)
        assert len(rpc(connection, "list_open_session_requests")) == open_requests, count


@pytest.mark.parametrize("count", [0, -1])
def test_a_limit_is_one_or_more(db: Database, count: int) -> None:
    with refused("22023"):
        limit(db, count)
    for role in ("authenticated", "service_role", "anon"):
        with refused("42501"):
            db.connect(role=role).execute("select dispatch.set_max_open_sessions(1)")


def test_who_is_at_capacity_sees_and_gets_nothing(limited: Database, people: list[str]) -> None:
    full, free = people[ONE], people[TWO]
    taken = fill(limited, full)
    request = limited.make_request()

    def seen(mechanic: str) -> bool:
        query = "select id from session_requests where status = 'pending'"
        return bool(rows(limited.connect(mechanic), query))

    def recipients(count: int | None) -> set[str]:
        query = "select mechanic_id from dispatch.choose_recipients(%s, %s)"
        return {str(row["mechanic_id"]) for row in limited.sql(query, request, count)}

    assert not seen(full) and seen(free)
    assert listed(limited, full) == {} and request in listed(limited, free)
    for count in (None, 100):  # by two ways
        assert full not in recipients(count) and free in recipients(count)
    (why,) = limited.sql(
        "select * from dispatch.explain_routing(%s) where mechanic_id = %s", request, full
    )
    assert not why["may_accept"] and why["why"].startswith("has 1 open sessions, as many as")
    assert limited.value(
        "select dispatch.push_is_over((0, 0, %s, %s, null, false, now(), now() + interval '1 day',"
        " 0, null, null, null)::dispatch.pushes, r, 'new_request', now())"
        " from dispatch.requests as r where r.id = %s",
        request,
        full,
        request,
    )
    with refused(*CAPACITY):
        accept(limited, full, request)
    for writer in (limited.connect(role="service_role"), limited.owner):
        with refused(*CAPACITY):
            writer.execute(
                "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
                [full, request],
            )
    assert accept(limited, full, taken)["id"] == taken  # what they have is theirs
    # Who cannot take it may say no; and one session less is room for another.
    other = limited.make_request()
    rpc(limited.connect(full), "decline_session_request", request_id=other)
    complete(limited, full, taken)
    assert list(listed(limited, full)) == [request] and seen(full)
    accept(limited, full, request)


def test_other_refusals_come_first(limited: Database, people: list[str]) -> None:
    fill(limited, people[ONE])
    request = limited.make_request()
    accept(limited, people[TWO], request)
    with refused("PT409", "request_taken"):
        accept(limited, people[ONE], request)
    with refused("PT404", "request_not_found"):
        accept(limited, people[ONE], book(limited, people[OTHER]))


def test_a_job_is_not_handed_to_who_is_at_capacity(limited: Database, people: list[str]) -> None:
    fill(limited, people[ONE])
    fill(limited, people[TWO])
    with refused("PT409", "request_taken"):  # as any that was taken
        limited.sql(
            "update session_requests set mechanic_id = %s where mechanic_id = %s",
            people[ONE],
            people[TWO],
        )


def test_at_the_booking_they_are_passed_over(limited: Database, people: list[str]) -> None:
    fill(limited, people[ONE])
    request = book(limited, people[ONE])
    assert told(limited, request) == [
        ("priority_skipped", "at_capacity", None),
        ("new_request", None, "session_requests_feed"),
    ]
    request = book(limited, *people[:2])
    assert told(limited, request) == [
        ("priority_skipped", "at_capacity", None),
        ("priority_request", None, f"mechanic:{people[TWO]}"),
    ]


@pytest.mark.parametrize("plain", [False, True])
def test_whose_hands_are_full_now_loses_the_other_windows(
    limited: Database, people: list[str], plain: bool
) -> None:
    chain, alone = book(limited, *people[:2]), book(limited, people[ONE])
    mine = book(limited, *people[:3])
    if plain:
        limited.connect(role="service_role").execute(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            [people[ONE], mine],
        )
    else:
        accept(limited, people[ONE], mine)
    assert told(limited, chain)[1:] == [
        ("priority_request", "at_capacity", f"mechanic:{people[TWO]}")
    ]
    assert told(limited, alone)[1:] == [("new_request", "at_capacity", "session_requests_feed")]
    assert told(limited, mine)[1:] == [("request_accepted", None, f"mechanic:{people[ONE]}")]
    assert at(limited, chain, *people) == [False, True, False, False]
    assert at(limited, alone, *people) == [False, True, True, True]
    # What they took in their window stays hidden from the others.
    with refused("PT404", "request_not_found"):
        accept(limited, people[OTHER], mine)


def test_their_turn_comes_and_goes_by_the_clock(limited: Database, people: list[str]) -> None:
    request = book(limited, *people[:3])
    taken = fill(limited, people[TWO])
    pass_time(limited, request, 12)
    assert at(limited, request, *people) == [False, False, True, False]
    # No sweep has noted it when they have room again.
    complete(limited, people[TWO], taken)
    assert at(limited, request, *people) == [False, False, True, False]
    assert told(limited, request)[1:] == [
        ("priority_skipped", "at_capacity", None),
        ("priority_request", "window_ended", f"mechanic:{people[THREE]}"),
    ]
    limited.sweep()
    assert len(told(limited, request)) == 3


def test_their_turn_stays_theirs_until_they_take_another(
    limited: Database, people: list[str]
) -> None:
    """It had come, by the clock alone, before they had their hands full."""
    request = book(limited, *people[:3])
    pass_time(limited, request, 12)
    fill(limited, people[TWO])
    assert told(limited, request)[1:] == [
        ("priority_request", "window_ended", f"mechanic:{people[TWO]}"),
        ("priority_request", "at_capacity", f"mechanic:{people[THREE]}"),
    ]
    assert at(limited, request, *people, minutes=9.9) == [False, False, True, False]


def test_what_is_imported_as_accepted_counts(limited: Database, people: list[str]) -> None:
    request = book(limited, people[ONE])
    limited.make_request(status="accepted", mechanic_id=people[ONE])
    assert told(limited, request)[1:] == [("new_request", "at_capacity", "session_requests_feed")]
    assert listed(limited, people[ONE]) == {}


def test_cancelled_it_is_a_session_less(limited: Database, people: list[str]) -> None:
    request = book(limited, *people[:3])
    taken = fill(limited, people[TWO])
    pass_time(limited, request, 12)
    limited.sql("update session_requests set status = 'cancelled' where id = %s", taken)
    assert at(limited, request, *people) == [False, False, True, False]
    assert len(listed(limited, people[TWO])) == 0
    assert limited.make_request() in listed(limited, people[TWO])


def test_turned_while_windows_are_open(db: Database) -> None:
    people = [db.make_mechanic() for _ in range(4)]
    fill(db, people[ONE])
    fill(db, people[TWO])
    now, later = book(db, people[ONE], people[THREE]), book(db, people[THREE], people[TWO])
    pass_time(db, later, 12)  # whose turn it was by the limit that there was
    limit(db, 1)
    assert told(db, now)[1:] == [
        ("priority_request", "at_capacity", f"mechanic:{people[THREE]}"),
    ]
    assert told(db, later)[1:] == [
        ("priority_request", "window_ended", f"mechanic:{people[TWO]}"),
        ("new_request", "at_capacity", "session_requests_feed"),
    ]
    assert at(db, now, *people) == [False, False, True, False]
    limit(db, 2)
    limit(db, None)
    assert at(db, now, *people) == [False, False, True, False]
    assert at(db, later, *people) == [True] * 4


def test_a_row_touched_before_it_is_moved_on(limited: Database, people: list[str]) -> None:
    """Somebody held it at the moment: by the clock it is the next one's, and is told late."""
    request = book(limited, *people[:2])
    mine = limited.make_request()
    holder = limited.open()
    with holder.transaction():
        holder.execute("select from session_requests where id = %s for update", [request])
        accept(limited, people[ONE], mine)
    assert len(told(limited, request)) == 1
    assert at(limited, request, *people) == [False, True, False, False]
    assert listed(limited, people[TWO]) == {request: True}
    limited.sql("update session_requests set notes = 'red' where id = %s", request)
    assert told(limited, request)[1:] == [
        ("priority_request", "at_capacity", f"mechanic:{people[TWO]}")
    ]
    assert at(limited, request, *people) == [False, True, False, False]


@pytest.mark.parametrize("plain", [False, True])
def test_of_many_accepts_at_once_one_is_within_the_limit(
    limited: Database, people: list[str], plain: bool
) -> None:
    requests = [limited.make_request() for _ in range(6)]
    connections = [
        limited.connect(role="service_role") if plain else limited.connect(people[ONE])
        for _ in requests
    ]

    def take(connection: Any, request: str) -> Any:
        if plain:
            return connection.execute(
                "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
                [people[ONE], request],
            )
        return rpc(connection, "accept_session_request", request_id=request)

    answers = at_once(
        *[
            lambda c=connection, r=request: take(c, r)
            for connection, request in zip(connections, requests, strict=True)
        ]
    )
    errors = [each for each in answers if isinstance(each, psycopg.Error)]
    assert {(error.sqlstate, error.diag.message_detail) for error in errors} == {CAPACITY}
    assert len(errors) == 5
    assert limited.value("select count(*) from session_requests where status = 'accepted'") == 1


def test_many_in_one_statement(limited: Database, people: list[str]) -> None:
    """It is refused as one too many, though the others' windows were the same mechanic's."""
    requests = [book(limited, people[ONE]) for _ in range(3)]
    backend = limited.connect(role="service_role")
    accept_all = (
        "update session_requests set status = 'accepted', mechanic_id = %s"
        " where id = any(%s) and status = 'pending'"
    )
    with refused(*CAPACITY):
        rows(backend, accept_all, people[ONE], requests)
    limit(limited, 2)
    with refused(*CAPACITY):
        rows(backend, accept_all, people[ONE], requests)
    rows(backend, accept_all, people[ONE], requests[:2])
    assert at(limited, requests[2], people[TWO]) == [True]


def test_two_accepts_in_two_transactions(limited: Database, people: list[str]) -> None:
    """The second waits for the first, and what it wanted is moved on by the first."""
    first, second = book(limited, people[ONE]), book(limited, *people[:2])
    one, two = limited.connect(people[ONE]), limited.connect(people[ONE])
    with ThreadPoolExecutor(1) as pool, one.transaction():
        rpc(one, "accept_session_request", request_id=first)

        waiting = pool.submit(rpc, two, "accept_session_request", request_id=second)
        limited.wait_until_blocked(two)
    with refused("PT404", "request_not_found"):  # by then it is the next favourite's
        waiting.result()
    assert told(limited, second)[1:] == [
        ("priority_request", "at_capacity", f"mechanic:{people[TWO]}")
    ]


@pytest.mark.parametrize("count", [2, None])
def test_up_again_leaves_it_and_verify_passes(db: Database, count: int | None) -> None:
    limit(db, count)
    install(db.dsn())
    assert db.value("select dispatch.max_open_sessions()") == count
    run_psql(db.dsn(), "-f", VERIFY)


def test_what_is_no_setting_is_made_one_again(db: Database) -> None:
    db.sql(
        "create or replace function dispatch.max_open_sessions() returns integer"
        " language plpgsql stable as 'begin return random(); end'"
    )
    with pytest.raises(RuntimeError, match="immutable functions"):
        run_psql(db.dsn(), "-f", VERIFY)
    install(db.dsn())
    assert db.value("select dispatch.max_open_sessions()") is None
    run_psql(db.dsn(), "-f", VERIFY)
