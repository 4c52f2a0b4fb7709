"""The rules stand at the table: a direct UPDATE breaks none, and a deletion leaves none waiting."""

from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from tests.database import Connection, Database, Row, refused, rpc

WRITERS = ["postgres", "service_role"]
STATES = ["pending", "accepted", "cancelled", "expired", "completed"]
ALLOWED = {
    ("pending", "accepted"),
    ("pending", "cancelled"),
    ("pending", "expired"),
    ("accepted", "completed"),
    ("accepted", "cancelled"),
}


def reach(db: Database, state: str, winner: str) -> str:
    request = db.make_request()
    if state in ("accepted", "completed"):
        rpc(db.connect(winner), "accept_session_request", request_id=request)
    if state not in ("pending", "accepted"):
        db.sql(
            "update session_requests set status = %s::session_request_status where id = %s",
            state,
            request,
        )
    return request


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
@pytest.mark.parametrize(
    "change",
    [
        "status = 'accepted', mechanic_id = {other}",
        "mechanic_id = {other}",
        "status = 'accepted', mechanic_id = {other}, notification_sent_at = now()",
        "status = 'accepted', mechanic_id = {other}, preferred_mechanic_id = {other}",
        "status = 'accepted', mechanic_id = {other}, priority_window_minutes = 0",
        "status = 'accepted', mechanic_id = {other}, priority_notified_at = null",
        "preferred_mechanic_id = {other}",
    ],
)
def test_a_reserved_request_is_not_handed_to_another(
    shared: Database, writer: str, change: str, preferred: bool
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite if preferred else None)
    query = f"update public.session_requests set {change.format(other=f'{other!r}')} where id = %s"
    connection = shared.connect(role=writer)
    if not preferred:
        connection.execute(query.encode(), (request,))
        return
    with (
        shared.unchanged(),
        refused(
            *(
                ("PT403", "not_yours")
                if change.startswith("preferred")
                else ("PT404", "request_not_found")
            )
        ),
    ):
        connection.execute(query.encode(), (request,))


@pytest.mark.parametrize(
    "first", ["priority_notified_at", "priority_window_minutes", "preferred_mechanic_id"]
)
def test_a_reservation_is_not_handed_on_in_two_steps(shared: Database, first: str) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    shared.sql(f"update session_requests set {first} = null where id = %s", request)
    shared.sql(
        "update session_requests set preferred_mechanic_id = %s, priority_notified_at = now(),"
        " priority_window_minutes = 10 where id = %s",
        other,
        request,
    )
    found = shared.sql("select mechanic_id::text from dispatch.choose_recipients(%s)", request)
    assert {row["mechanic_id"] for row in found} == {favourite, other}
    assert "session_requests_feed" in shared.events(request)[1]["topics"]


@pytest.mark.parametrize(
    "change",
    [
        "priority_window_minutes = 2147483647",
        "priority_window_minutes = 61",
        "priority_window_minutes = 11",
        "priority_notified_at = 'infinity'",
        "priority_notified_at = '-infinity'",
        "priority_notified_at = '2130-01-01'",
        "priority_notified_at = '294276-12-31 23:59+00'",
        "priority_notified_at = priority_notified_at + interval '1 second'",
    ],
)
def test_a_window_is_not_made_longer(shared: Database, change: str) -> None:
    request = shared.make_request(preferred=shared.make_mechanic())
    backend = shared.connect(role="service_role")
    for connection in (backend, shared.owner):
        with shared.unchanged(), refused("PT422", "invalid_window"):
            query = f"update session_requests set {change} where id = %s"
            connection.execute(query.encode(), (request,))
    shared.sql("update session_requests set priority_window_minutes = 9 where id = %s", request)
    assert shared.request(request)["priority_window_minutes"] == 9


RESERVES = (
    "notification_sent_at = null",
    "notification_sent_at = 'infinity'",
    "notification_sent_at = '-infinity'",
    "preferred_mechanic_id = '{other}'",
    "priority_notified_at = now(), priority_window_minutes = 60",
    "notification_sent_at = null, expires_at = null, preferred_mechanic_id = '{other}',"
    " priority_notified_at = now(), priority_window_minutes = 60",
    "preferred_mechanic_id = '{other}', priority_notified_at = '294276-12-31 23:59+00',"
    " priority_window_minutes = 2147483647",
)


def put_back(connection: Connection, row: Row) -> None:
    """As PostgREST writes `Prefer: resolution=merge-duplicates`."""
    names = ", ".join(row)
    given = "select r.* from jsonb_populate_record(null::public.session_requests, %s) as r"
    connection.execute(
        f"insert into public.session_requests ({names}) select {names} from ({given}) as r"
        " on conflict (id) do update set"
        f" {', '.join(f'{name} = excluded.{name}' for name in row)}".encode(),
        (Jsonb(row),),
    )


def as_json(db: Database, request: str) -> Row:
    query = "select to_jsonb(r) from public.session_requests as r where id = %s"
    row: Row = db.value(query, request)
    return row


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("fallback", [True, False], ids=["declined", "broadcast at once"])
@pytest.mark.parametrize("change", RESERVES)
def test_a_broadcast_is_not_taken_back(
    shared: Database, writer: str, change: str, fallback: bool
) -> None:
    """Nor is it reserved for another: by UPDATE, or by MERGE."""
    favourite, other, third = (shared.make_mechanic() for _ in range(3))
    request = shared.make_request(preferred=favourite if fallback else None)
    if fallback:
        rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    assignments = change.format(other=other)
    connection = shared.connect(role=writer)
    with shared.unchanged():
        connection.execute(f"update public.session_requests set {assignments}".encode())
        connection.execute(
            "merge into public.session_requests as r using (select 1) as one on true"
            f" when matched then update set {assignments}".encode()
        )
    assert rpc(shared.connect(third), "accept_session_request", request_id=request)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_was_read_before_the_broadcast_does_not_take_it_back(
    shared: Database, writer: str
) -> None:
    favourite, third = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    read = as_json(shared, request)
    rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    broadcast = as_json(shared, request)
    put_back(shared.connect(role=writer), read)
    # It ends when it would have; of the rest the writer's own column alone is as it was read.
    assert as_json(shared, request) == broadcast | {"updated_at": read["updated_at"]}
    assert shared.log(request)[-1] == "new_request:declined"
    assert rpc(shared.connect(third), "accept_session_request", request_id=request)


@pytest.mark.parametrize("given_up", ["declined", "released"])
def test_a_request_that_is_deleted_and_put_back_is_not_kept_for_who_gave_it_up(
    shared: Database, given_up: str
) -> None:
    favourite, third = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    read = as_json(shared, request)
    caller, backend = shared.connect(favourite), shared.connect(role="service_role")
    if given_up == "released":
        rpc(caller, "accept_session_request", request_id=request)
    rpc(caller, f"{given_up.removesuffix('d')}_session_request", request_id=request)
    backend.execute("delete from session_requests where id = %s", (request,))
    put_back(backend, read)
    assert shared.log(request)[-2:] == ["priority_skipped:not_approved", "new_request"]
    assert rpc(shared.connect(third), "accept_session_request", request_id=request)


@pytest.mark.parametrize("ended", [False, True], ids=["open", "over, not swept"])
def test_a_row_put_back_as_it_was_read_leaves_its_window(shared: Database, ended: bool) -> None:
    """What an upsert proposes is not routed anew: it would be broadcast, or begin again."""
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    if ended:
        shared.end_window(request, -5)
    read = as_json(shared, request)
    for names in (list(read), ["id", "customer_id", "session_type", "notification_sent_at"]):
        with shared.unchanged():
            put_back(shared.connect(role="service_role"), {name: read[name] for name in names})
    found = shared.sql("select mechanic_id::text from dispatch.choose_recipients(%s)", request)
    assert {row["mechanic_id"] for row in found} == ({favourite, other} if ended else {favourite})


def test_a_window_is_not_opened_where_there_was_none(shared: Database) -> None:
    """As in a row from before there were triggers, which everyone may take."""
    request, other = shared.make_request(), shared.make_mechanic()
    superuser = shared.superuser()
    superuser.execute("set session_replication_role = replica")
    superuser.execute("update public.session_requests set notification_sent_at = null")
    with shared.unchanged(), refused("PT422", "invalid_window"):
        shared.sql(
            "update session_requests set preferred_mechanic_id = %s, priority_notified_at = now(),"
            " priority_window_minutes = 60 where id = %s",
            other,
            request,
        )


@pytest.mark.parametrize("sent", ["infinity", "-infinity"])
def test_a_broadcast_at_no_time_is_one_now(shared: Database, sent: str) -> None:
    """And the window that it had stays told, whatever else the statement writes."""
    request = shared.make_request(preferred=shared.make_mechanic())
    window = [name for name in shared.request(request) if name.startswith(("preferred_m", "prio"))]
    before = shared.request(request)
    shared.sql(
        "update session_requests set notification_sent_at = %s, preferred_mechanic_id = %s,"
        " priority_notified_at = 'infinity', priority_window_minutes = 2147483647",
        *(sent, shared.make_mechanic()),
    )
    row = shared.request(request)
    assert [row[name] for name in window] == [before[name] for name in window]
    assert row["expires_at"] - row["notification_sent_at"] == timedelta(hours=24)
    assert shared.log(request) == ["priority_request", "new_request:customer"]


@pytest.mark.parametrize(
    "sent", ["2000-01-01", "4713-01-01 BC", "2130-01-01", "294276-12-31 23:59+00"]
)
def test_a_broadcast_at_a_time_that_no_clock_shows_is_one_now(shared: Database, sent: str) -> None:
    """Or it would be over before anyone sees it, or never."""
    request = shared.make_request(preferred=shared.make_mechanic())
    backend = shared.connect(role="service_role")
    backend.execute("update public.session_requests set notification_sent_at = %s", (sent,))
    row = shared.request(request)
    assert row["notification_sent_at"] == row["updated_at"]
    assert row["expires_at"] - row["notification_sent_at"] == timedelta(hours=24)
    assert shared.log(request) == ["priority_request", "new_request:customer"]
    assert shared.sweep() == 0


REWRITES = (
    "notification_sent_at = now()",
    "notification_sent_at = '4713-01-01 BC'",
    "preferred_mechanic_id = null",
    "preferred_mechanic_id = '{other}'",
    "priority_window_minutes = 0",
    "priority_window_minutes = null, priority_notified_at = null",
    "priority_notified_at = '294276-12-31 23:59+00', priority_window_minutes = 2147483647",
    "priority_notified_at = '4713-01-01 BC', priority_window_minutes = -2147483648",
)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("change", REWRITES)
def test_what_ended_in_its_window_stays_hidden(shared: Database, writer: str, change: str) -> None:
    """Whatever is written to its row afterwards, or with what ends it."""
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    accepted, cancelled = (shared.make_request(preferred=favourite) for _ in range(2))
    rpc(shared.connect(favourite), "accept_session_request", request_id=accepted)
    connection = shared.connect(role=writer)
    connection.execute(
        "update public.session_requests set status = 'cancelled' where id = %s", (cancelled,)
    )
    query = f"update public.session_requests set {change.format(other=other)}"
    with shared.unchanged():
        connection.execute(query.encode())
    shown = "notification_sent_at = now()", "preferred_mechanic_id = null"
    if change in shown:
        at_once = shared.make_request(preferred=favourite)
        connection.execute(
            f"{query}, status = 'accepted', mechanic_id = %s where id = %s".encode(),
            (favourite, at_once),
        )
        assert shared.log(at_once) == ["priority_request", "request_accepted"]
        accepted = at_once
    for request in (accepted, cancelled):
        with refused("PT404", "request_not_found"):
            rpc(shared.connect(other), "accept_session_request", request_id=request)


@pytest.mark.parametrize("whose", ["the favourite's", "one who blocked them"])
def test_another_customer_s_request_is_not_kept_for_who_may_not_have_it(
    shared: Database, whose: str
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    customer = favourite
    if whose == "one who blocked them":
        customer = shared.make_customer()
        rpc(shared.connect(customer), "block_mechanic", mechanic_id=favourite)
    shared.connect(role="service_role").execute(
        "update session_requests set customer_id = %s where id = %s", [customer, request]
    )
    assert rpc(shared.connect(other), "accept_session_request", request_id=request)


@pytest.mark.parametrize("minutes", [2147483647, -2147483648, None])
@pytest.mark.parametrize(
    "began", ["294276-12-31 23:59+00", "4713-01-01 BC", "infinity", "-infinity"]
)
@pytest.mark.parametrize("state", ["accepted", "cancelled"])
def test_no_time_in_a_row_makes_a_call_fail(
    shared: Database, state: str, began: str, minutes: int | None
) -> None:
    """In one that was imported so, or that was written so by what ended it."""
    customer, winner, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    imported = shared.make_request(
        customer, winner, minutes, status=state, mechanic_id=winner, priority_notified_at=began
    )
    ended = shared.make_request(customer)
    shared.sql(
        "update session_requests set status = %s::session_request_status, mechanic_id = %s,"
        " priority_notified_at = %s, priority_window_minutes = %s where id = %s",
        *(state, winner, began, minutes, ended),
    )
    word = {"accepted": ("PT409", "request_taken"), "cancelled": ("PT410", "request_cancelled")}
    for request in (imported, ended):
        rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
        assert shared.sql("select * from dispatch.explain_routing(%s)", request)
        shared.sql("select * from dispatch.choose_recipients(%s)", request)
    with refused(*word[state]):
        rpc(shared.connect(other), "accept_session_request", request_id=ended)
    assert rpc(shared.connect(winner), "list_open_session_requests") == []
    shared.sweep()
    shared.sql("select * from dispatch.health()")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("state", ["accepted", "completed"])
def test_a_job_is_not_taken_from_whoever_has_it(shared: Database, writer: str, state: str) -> None:
    winner = shared.make_mechanic()
    request = reach(shared, state, winner)
    connection = shared.connect(role=writer)
    with shared.unchanged(), refused("PT409", "request_taken"):
        connection.execute("update public.session_requests set mechanic_id = null")
    # Nor with what ends it; of one that is cancelled nobody asks who had it.
    if state == "accepted":
        with shared.unchanged(), refused("PT409", "request_taken"):
            connection.execute(
                "update public.session_requests set status = 'completed', mechanic_id = null"
            )
        connection.execute(
            "update public.session_requests set status = 'cancelled', mechanic_id = null"
        )
        assert shared.events(request)[-1]["topics"][1] == f"mechanic:{winner}"


def test_a_copied_row_is_routed_as_an_inserted_one(shared: Database) -> None:
    favourite, customer = shared.make_mechanic(), shared.make_customer()
    names = "customer_id, session_type, preferred_mechanic_id, priority_window_minutes"
    lines = [
        (customer, "chat", favourite, 2147483647, "infinity", "2020-01-01"),
        (customer, "chat", favourite, 10, "294276-12-31 23:59+00", "infinity"),
    ]
    copy = f"copy session_requests ({names}, priority_notified_at, notification_sent_at) from stdin"
    with shared.owner.cursor().copy(copy.encode()) as writer:
        for line in lines:
            writer.write_row(line)
    for row in shared.sql("select * from session_requests"):
        assert row["priority_window_minutes"] == 10 and row["notification_sent_at"] is None
        assert row["priority_notified_at"] == row["created_at"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_request_keeps_its_id(shared: Database, writer: str) -> None:
    """By it is known who gave it back, and who is asked next."""
    mechanic = shared.make_mechanic()
    request = shared.make_request()
    rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
    rpc(shared.connect(mechanic), "release_session_request", request_id=request)
    connection = shared.connect(role=writer)
    with shared.unchanged(), refused("PT409", "request_not_pending"):
        connection.execute("update public.session_requests set id = gen_random_uuid()")


@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
@pytest.mark.parametrize("who", ["the mechanic", "who has blocked them"])
def test_whoever_becomes_its_customer_with_the_accept_must_be_one_for_whom_it_is_open(
    shared: Database, who: str, preferred: bool
) -> None:
    mechanic = shared.make_mechanic()
    customer = mechanic
    if who != "the mechanic":
        customer = shared.make_customer()
        rpc(shared.connect(customer), "block_mechanic", mechanic_id=mechanic)
    request = shared.make_request(preferred=mechanic if preferred else None)
    with shared.unchanged(), refused("PT404", "request_not_found"):
        shared.sql(
            "update session_requests set customer_id = %s, status = 'accepted', mechanic_id = %s"
            " where id = %s",
            customer,
            mechanic,
            request,
        )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_only_the_state_changes_there_are(
    shared: Database, writer: str, old: str, new: str
) -> None:
    winner = shared.make_mechanic()
    request = reach(shared, old, winner)
    query = (
        "update public.session_requests set status = %s::public.session_request_status,"
        " mechanic_id = coalesce(mechanic_id, %s) where id = %s"
    )
    connection = shared.connect(role=writer)
    if (old, new) in ALLOWED:
        connection.execute(query.encode(), (new, winner, request))
        assert shared.request(request)["status"] == new
    elif old == new:
        return
    else:
        with shared.unchanged(), refused("PT409", "request_not_pending"):
            connection.execute(query.encode(), (new, winner, request))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("pending", ("PT403", "not_a_mechanic")),
        ("suspended", ("PT403", "not_a_mechanic")),
        (None, ("PT403", "not_a_mechanic")),
        ("no mechanic", ("PT403", "not_a_mechanic")),
        ("the customer", ("PT404", "request_not_found")),
        ("nobody", ("PT409", "request_not_pending")),
    ],
)
def test_a_job_goes_only_to_an_approved_mechanic_other_than_the_customer(
    shared: Database, status: str | None, error: tuple[str, str]
) -> None:
    customer = shared.make_mechanic()
    request = shared.make_request(customer)
    if status == "no mechanic":
        mechanic: str | None = shared.make_customer()
    elif status == "the customer":
        mechanic = customer
    elif status == "nobody":
        mechanic = None
    else:
        mechanic = shared.make_mechanic(status)
    with shared.unchanged(), refused(*error):
        shared.sql(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            mechanic,
            request,
        )


@pytest.mark.parametrize("state", ["accepted", "completed", "cancelled"])
def test_a_finished_job_is_not_handed_on(shared: Database, state: str) -> None:
    winner, other = shared.make_mechanic(), shared.make_mechanic()
    request = reach(shared, state, winner)
    sqlstate = (
        ("PT410", "request_cancelled")
        if state == "cancelled"
        else (
            "PT409",
            "request_taken",
        )
    )
    with shared.unchanged(), refused(*sqlstate):
        shared.sql("update session_requests set mechanic_id = %s where id = %s", other, request)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update mechanics set status = 'suspended' where id = %s", "mechanic_gone"),
        ("update mechanics set status = 'pending' where id = %s", "mechanic_gone"),
        ("update mechanics set status = null where id = %s", "mechanic_gone"),
        ("delete from mechanics where id = %s", "mechanic_gone"),
        ("delete from auth.users where id = %s", "mechanic_gone"),
    ],
)
def test_a_favourite_who_is_gone_ends_the_window_at_once(
    shared: Database, change: str, reason: str
) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    request = shared.make_request(preferred=favourite)
    before = shared.make_request(preferred=favourite)
    rpc(shared.connect(favourite), "accept_session_request", request_id=before)
    shared.sql(change, favourite)
    assert shared.log(request) == ["priority_request", f"new_request:{reason}"]
    assert shared.events(request)[1]["payload"]["is_fallback_broadcast"] is True
    assert shared.request(request)["expires_at"] is not None
    assert rpc(shared.connect(other), "accept_session_request", request_id=request)
    # What was accepted stays, with or without its mechanic.
    assert shared.request(before)["status"] == "accepted"
    assert shared.log(before) == ["priority_request", "request_accepted"]


def test_a_mechanic_deleted_after_the_accept_leaves_the_request_to_the_customer(
    shared: Database,
) -> None:
    customer, winner, other = (
        shared.make_customer(),
        shared.make_mechanic(),
        shared.make_mechanic(),
    )
    request = shared.make_request(customer)
    rpc(shared.connect(winner), "accept_session_request", request_id=request)
    shared.sql("delete from auth.users where id = %s", winner)
    assert shared.request(request)["mechanic_id"] is None
    with shared.unchanged(), refused("PT409", "request_taken"):
        rpc(shared.connect(other), "accept_session_request", request_id=request)
    timeline = rpc(shared.connect(customer), "get_session_request_timeline", request_id=request)
    assert [each["event"] for each in timeline] == ["new_request", "request_accepted"]


@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
def test_a_deleted_customer_takes_the_request_along_and_whoever_was_told_hears(
    shared: Database, preferred: bool
) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, mechanic if preferred else None)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.sql("select 1 from session_requests") == []
    (_, event) = shared.events(request)
    assert event["event"] == "request_cancelled" and event["payload"]["reason"] == "cancelled"
    told = f"mechanic:{mechanic}" if preferred else "session_requests_feed"
    assert event["topics"] == [f"customer:{customer}", told]


@pytest.mark.parametrize("preferred", [True, False], ids=["in a window", "broadcast"])
def test_a_customer_deleted_after_the_accept_tells_the_winner_alone(
    shared: Database, preferred: bool
) -> None:
    customer, winner = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, winner if preferred else None)
    rpc(shared.connect(winner), "accept_session_request", request_id=request)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.log(request)[1:] == ["request_accepted", "request_cancelled:cancelled"]
    topics = shared.events(request)[2]["topics"]
    assert topics == [f"customer:{customer}", f"mechanic:{winner}"]


def test_a_deleted_customers_finished_requests_tell_nobody(shared: Database) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    completed, cancelled = shared.make_request(customer), shared.make_request(customer)
    for function in ("accept_session_request", "complete_session_request"):
        rpc(shared.connect(mechanic), function, request_id=completed)
    rpc(shared.connect(customer), "cancel_session_request", request_id=cancelled)
    shared.sql("delete from auth.users where id = %s", customer)
    assert shared.log(completed) == ["new_request", "request_accepted", "request_completed"]
    assert shared.log(cancelled) == ["new_request", "request_cancelled:cancelled"]


def test_two_accounts_deleted_at_once(shared: Database) -> None:
    customer, mechanic = shared.make_customer(), shared.make_mechanic()
    request = shared.make_request(customer, mechanic)
    shared.sql("delete from auth.users")
    assert shared.sql("select 1 from session_requests") == []
    assert "request_cancelled:cancelled" in shared.log(request)


def test_an_accept_that_a_trigger_of_theirs_prevents_is_refused(db: Database) -> None:
    db.sql(
        "create function public.keep() returns trigger language plpgsql as"
        " 'begin return null; end';"
        " create trigger keep before update on public.session_requests"
        " for each row execute function public.keep()"
    )
    request = db.make_request()
    connection = db.connect(db.make_mechanic())
    with db.unchanged(), refused("PT409", "request_not_pending"):
        rpc(connection, "accept_session_request", request_id=request)


@pytest.mark.parametrize("how", ["cancelled", "accepted"])
@pytest.mark.parametrize(
    "later",
    [
        "update session_requests set updated_at = now() + interval '1 hour',"
        " accepted_at = accepted_at + interval '1 hour'",
        "update mechanics set status = 'suspended' where id = '{favourite}'",
        "delete from auth.users where id = '{favourite}'",
    ],
    ids=["another time", "suspended", "an account deleted"],
)
def test_what_ended_inside_its_window_stays_hidden_whatever_is_written_later(
    db: Database, how: str, later: str
) -> None:
    """Only whoever was asked may learn what became of it, though they all know its id."""
    favourite, other, outsider = db.make_mechanic(), db.make_mechanic(), db.make_customer()
    request = db.make_request(preferred=favourite, minutes=5)
    if how == "cancelled":
        db.sql("update session_requests set status = 'cancelled' where id = %s", request)
    else:
        rpc(db.connect(favourite), "accept_session_request", request_id=request)
    db.sql(later.format(favourite=favourite))
    for function in ("accept_session_request", "complete_session_request"):
        with refused("PT404", "request_not_found"):
            rpc(db.connect(other), function, request_id=request)
    with refused("PT404", "request_not_found"):
        rpc(db.connect(outsider), "cancel_session_request", request_id=request)
