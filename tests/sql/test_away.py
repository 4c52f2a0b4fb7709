"""Who says to be online and lets two windows in a row end without an answer is away."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.database import Database, Row, at_once, heard, listen, rows, rpc
from tests.sql.test_chain import ONE, THREE, TWO, book, pass_time


def let_pass(db: Database, *requests: str, sweep: bool = True) -> None:
    """Their windows end without an answer."""
    for request in requests:
        pass_time(db, request, 11)
    if sweep:
        db.sweep()


def is_online(db: Database, mechanic: str) -> bool:
    status: Row = rpc(db.connect(mechanic), "get_mechanic_status", mechanic_id=mechanic)
    return bool(status["is_online"])


def told_away(db: Database) -> list[list[str]]:
    return [event["topics"] for event in db.events() if event["event"] == "mechanic_away"]


@pytest.fixture
def people(db: Database) -> list[str]:
    return [db.make_mechanic() for _ in range(3)]


def test_two_windows_in_a_row_set_away_and_tell_the_mechanic_alone(
    db: Database, people: list[str]
) -> None:
    mechanic, customer = people[ONE], db.make_customer()
    seen = db.value("select updated_at from mechanics where id = %s", mechanic)
    listener = listen(db, f"mechanic:{mechanic}")
    let_pass(db, book(db, mechanic, customer=customer))
    assert is_online(db, mechanic) and told_away(db) == []
    second = book(db, mechanic, customer=customer)
    let_pass(db, second)
    assert not is_online(db, mechanic)
    assert told_away(db) == [[f"mechanic:{mechanic}"]]
    db.sql("select dispatch.deliver_events()")  # of two within 20 ms the second is the loop's
    (notice,) = [each for _, each in heard(listener, 3) if each["event"] == "mechanic_away"]
    assert notice["request_id"] == second and not notice["priority"]
    # Nobody has seen them since.
    now = db.value("select updated_at from mechanics where id = %s", mechanic)
    assert 0 < (now - seen).total_seconds() < 0.01
    timeline = rpc(db.connect(customer), "get_session_request_timeline", request_id=second)
    assert [each["event"] for each in timeline] == ["priority_request", "new_request"]
    events = rpc(db.connect(mechanic), "list_session_request_events", after=0)
    assert [e["event"] for e in events if e["request_id"] == second][-1] == "mechanic_away"
    # Away, nothing more is written or told, however many follow.
    with db.unchanged_row(second):
        let_pass(db, book(db, mechanic), book(db, mechanic))
    assert len(told_away(db)) == 1
    # One press and they are back, and it takes two again.
    rpc(db.connect(mechanic), "set_presence", status="online")
    assert is_online(db, mechanic)
    let_pass(db, book(db, mechanic))
    assert is_online(db, mechanic)
    let_pass(db, book(db, mechanic))
    assert len(told_away(db)) == 2


def answer(function: str) -> Callable[[Database, str], None]:
    def call(db: Database, mechanic: str) -> None:
        rpc(db.connect(mechanic), function, request_id=book(db, mechanic))

    return call


def accept_plainly(db: Database, mechanic: str) -> None:
    db.connect(role="service_role").execute(
        "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
        [mechanic, book(db, mechanic)],
    )


@pytest.mark.parametrize(
    "answers",
    [answer("decline_session_request"), answer("accept_session_request"), accept_plainly],
)
@pytest.mark.parametrize("swept", [True, False])
def test_an_answer_in_between_begins_the_count_anew(
    db: Database, people: list[str], answers: Any, swept: bool
) -> None:
    mechanic = people[ONE]
    let_pass(db, book(db, mechanic), sweep=swept)
    answers(db, mechanic)
    # (Backdated after the answer, the window that ends now must still end after it.)
    late = book(db, mechanic)
    db.end_window(late)
    db.sweep()
    assert is_online(db, mechanic) and told_away(db) == []
    let_pass_now(db, mechanic)
    assert not is_online(db, mechanic)


def let_pass_now(db: Database, mechanic: str) -> None:
    db.end_window(book(db, mechanic))
    db.sweep()


@pytest.mark.parametrize("status", ["busy", "away", "offline"])
def test_a_state_they_chose_is_not_overwritten(
    db: Database, people: list[str], status: str
) -> None:
    mechanic = people[ONE]
    let_pass(db, book(db, mechanic))
    rpc(db.connect(mechanic), "set_presence", status=status)
    before = db.sql("select * from mechanics where id = %s", mechanic)
    let_pass(db, book(db, mechanic), book(db, mechanic))
    assert db.sql("select * from mechanics where id = %s", mechanic) == before
    assert told_away(db) == []


def test_what_is_seen_late_does_not_undo_a_press(db: Database, people: list[str]) -> None:
    mechanic = people[ONE]
    let_pass(db, book(db, mechanic), book(db, mechanic), sweep=False)
    for status in ("offline", "online"):
        rpc(db.connect(mechanic), "set_presence", status=status)
    db.sweep()
    assert is_online(db, mechanic) and told_away(db) == []


@pytest.mark.parametrize("is_deleted", [False, True])
def test_turns_that_were_slept_through_count(
    db: Database, people: list[str], is_deleted: bool
) -> None:
    """The second one's of two chains, of which no sweep saw anything until all was over."""
    for request in (book(db, *people[:2]), book(db, people[THREE], people[TWO])):
        pass_time(db, request, 25)
    if is_deleted:
        db.sql("delete from session_requests")
    else:
        db.sweep()
    assert told_away(db) == [[f"mechanic:{people[TWO]}"]]
    assert [is_online(db, each) for each in people] == [True, False, True]


@pytest.mark.parametrize("ends", ["accept", "cancel", "broadcast", "expire", "decline"])
def test_however_it_ends_that_nobody_announced(db: Database, people: list[str], ends: str) -> None:
    """Their window is over by the clock, and what happened next was not the sweep's."""
    mechanic, customer = people[ONE], db.make_customer()
    let_pass(db, book(db, mechanic))
    request = book(db, mechanic, customer=customer)
    let_pass(db, request, sweep=False)
    if ends == "accept":
        rpc(db.connect(people[TWO]), "accept_session_request", request_id=request)
    elif ends == "cancel":
        rpc(db.connect(customer), "cancel_session_request", request_id=request)
    elif ends == "broadcast":
        rpc(db.connect(customer), "broadcast_session_request_now", request_id=request)
    elif ends == "expire":
        db.sql("update session_requests set status = 'expired' where id = %s", request)
    else:
        rpc(db.connect(mechanic), "decline_session_request", request_id=request)
    assert is_online(db, mechanic) == (ends == "decline")
    assert len(told_away(db)) == (ends != "decline")


@pytest.mark.parametrize("function", ["accept_session_request", "decline_session_request"])
def test_who_answers_after_all_has_answered(db: Database, people: list[str], function: str) -> None:
    """Late, and before the sweep saw what else they left."""
    mechanic = people[ONE]
    let_pass(db, book(db, mechanic))
    request = book(db, mechanic)
    let_pass(db, request, book(db, mechanic), sweep=False)
    rpc(db.connect(mechanic), function, request_id=request)
    assert is_online(db, mechanic)
    let_pass_now(db, mechanic)
    assert is_online(db, mechanic) and told_away(db) == []


def test_what_ended_otherwise_is_no_silence(db: Database, people: list[str]) -> None:
    mechanic, customer = people[ONE], db.make_customer()
    for function in ("broadcast_session_request_now", "cancel_session_request"):
        for _ in range(2):
            request = book(db, mechanic, customer=customer)
            rpc(db.connect(customer), function, request_id=request)
    assert is_online(db, mechanic)
    assert db.sql("select * from dispatch.unanswered") == []


def test_nobody_is_waited_for(db: Database, people: list[str]) -> None:
    """Whoever holds the mechanic's row, or answers at the moment, does not hold up the sweep."""
    mechanic = people[ONE]
    let_pass(db, book(db, mechanic))
    holder = db.open()
    for held in (
        "update mechanics set display_name = 'Mo' where id = %s",
        "select from dispatch.unanswered where mechanic_id = %s for update",
        "delete from dispatch.unanswered where mechanic_id = %s",
    ):
        request = book(db, mechanic)
        with holder.transaction(force_rollback=True):
            holder.execute(held.encode(), [mechanic])
            let_pass(db, request)
            assert db.log(request) == ["priority_request", "new_request:window_ended"]
    assert is_online(db, mechanic)
    let_pass(db, book(db, mechanic))
    assert not is_online(db, mechanic)


def test_of_who_is_gone_nothing_is_kept(db: Database, people: list[str]) -> None:
    let_pass(db, book(db, people[ONE]), book(db, people[TWO]))
    db.sql("delete from auth.users where id = %s", people[ONE])
    db.sql("select dispatch.prune_windows('90 days')")
    kept = db.sql("select mechanic_id from dispatch.unanswered")
    assert [str(row["mechanic_id"]) for row in kept] == [people[TWO]]


def test_sweeps_at_once_set_away_once(db: Database, people: list[str]) -> None:
    for mechanic in people:
        for _ in range(4):
            pass_time(db, book(db, mechanic), 11)
    connections = [db.open() for _ in range(4)]
    at_once(*[lambda c=each: rows(c, "select dispatch.sweep(3)") for each in connections])
    while db.sweep():
        pass
    assert sorted(told_away(db)) == sorted([f"mechanic:{each}"] for each in people)


def test_their_own_trigger_that_raises_holds_up_nothing(db: Database, people: list[str]) -> None:
    db.sql(
        "create function public.no() returns trigger language plpgsql as $$ begin"
        " raise exception 'no'; end $$"
    )
    db.sql(
        "create trigger no before update of is_online on public.mechanics"
        " for each row execute function public.no()"
    )
    requests = [book(db, people[ONE]) for _ in range(2)]
    let_pass(db, *requests)
    for request in requests:
        assert db.log(request) == ["priority_request", "new_request:window_ended"]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_a_trigger_of_theirs_ends_in_place_of_the_broadcast_counts_once(
    db: Database, people: list[str], *, one_by_one: bool
) -> None:
    db.sql(f"""
        create function public.no_fallback() returns trigger language plpgsql as $$
        begin
            if {one_by_one} and new.notes = 'poison' then
                raise exception 'no';
            end if;
            new.status := 'cancelled';
            return new;
        end;
        $$;
        create trigger zz_no_fallback before update of notification_sent_at
        on public.session_requests for each row
        when (new.notification_sent_at is not null and new.status = 'pending')
        execute function public.no_fallback();
    """)
    let_pass(db, db.make_request(preferred=people[TWO], notes="poison"), sweep=False)
    request = book(db, people[ONE])
    let_pass(db, request)
    assert db.log(request) == ["priority_request", "request_cancelled:cancelled"]
    assert is_online(db, people[ONE])
    let_pass(db, book(db, people[ONE]))
    assert not is_online(db, people[ONE])


def test_a_page_that_is_open_knows_it_before_its_next_heartbeat(
    db: Database, people: list[str]
) -> None:
    """As keepPresence asks: is what is said of them later than what it said last?"""
    mechanic = people[ONE]
    connection = db.connect(mechanic)
    said = rpc(connection, "set_presence", status="online")
    let_pass(db, book(db, mechanic), book(db, mechanic))
    now = rpc(connection, "get_mechanic_status", mechanic_id=mechanic)
    assert now["last_seen"][:23] > said["last_seen"][:23] and not now["is_online"]


@pytest.mark.parametrize(
    "statement", ["update mechanics set status = 'suspended'", "delete from auth.users"]
)
@pytest.mark.parametrize("nested", [False, True])
def test_whoever_goes_late_in_the_day_is_not_set_away(
    db: Database, people: list[str], statement: str, *, nested: bool
) -> None:
    """The sweep slept: whose turns ended is written as they go, several at once perhaps, and the
    statement finds their rows as they were; also where a trigger has others go meanwhile."""
    if nested:
        db.sql(
            "create function theirs() returns trigger language plpgsql as $$ begin"
            " update public.mechanics set status = case when status = 'approved' then 'suspended'"
            f" else 'approved' end where id = '{db.make_mechanic()}';"
            " return new; end $$;"
            " create trigger a_theirs before update on session_requests"
            " for each row execute function theirs()"
        )
    for mechanic in people[:2]:
        let_pass(db, book(db, mechanic))
    late = [book(db, *people), book(db, people[TWO], people[ONE], people[THREE])]
    for request in late:
        pass_time(db, request, 21)
    db.sql(f"{statement} where id = any(%s::uuid[])", people[:2])
    for request in late:
        assert db.log(request) == ["priority_request", *["priority_request:window_ended"] * 2]
    assert told_away(db) == []


def test_whoever_ends_a_late_window_waits_for_nobody_who_ends_another(
    db: Database, people: list[str]
) -> None:
    """Each counts it, and holds the request of theirs."""
    requests = [book(db, people[ONE]) for _ in range(2)]
    for request in requests:
        pass_time(db, request, 11)
    one, two = db.connect(role="service_role"), db.connect(role="service_role")
    query = "update session_requests set status = 'cancelled' where id = %s"
    two.execute("set lock_timeout = '5s'")
    with one.transaction():
        rows(one, query, requests[0])
        rows(two, query, requests[1])
    assert db.value("select windows from dispatch.unanswered") == 1


def test_an_answer_waits_for_nobody_who_counts(db: Database, people: list[str]) -> None:
    let_pass(db, book(db, people[ONE]))
    request, holder, app = book(db, people[ONE]), db.open(), db.connect(people[ONE])
    app.execute("set lock_timeout = '5s'")
    with holder.transaction():
        rows(holder, "select from dispatch.unanswered for update")
        rpc(app, "accept_session_request", request_id=request)
    assert db.log(request)[-1] == "request_accepted"
