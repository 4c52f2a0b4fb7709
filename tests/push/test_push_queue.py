"""Who is told by Web Push, of what, until when: devices, the queue, and what a sender is given."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from stack.push_service import Device, base64url
from tests.database import EACH_POISON, Database, Row, at_once, refused, rpc

APPLE = "https://web.push.apple.com/"
COUNT = iter(range(1_000_000))


def device(db: Database, user: str) -> Device:
    return Device(f"{APPLE}{next(COUNT)}").register(db, user)


def queued(db: Database) -> list[Row]:
    db.sql("select dispatch.deliver_events()")
    return db.sql("select * from dispatch.pushes order by id")


IN_MINUTES = "now() + make_interval(secs => 60 * %s::float8)"


def take(db: Database, after: float = 0) -> list[Row]:
    """What a sender is given, so many minutes from now."""
    return db.sql(f"select * from dispatch.take_pushes(100, '30 s', {IN_MINUTES})", after)


def titles(found: list[Row]) -> list[tuple[str, str]]:
    return [(each["endpoint"], json.loads(each["payload"])["title"]) for each in found]


def finish(db: Database, *answers: tuple[int, int | None], after: float = 0) -> None:
    given = json.dumps([{"push_id": push, "status": status} for push, status in answers])
    db.sql(f"select dispatch.record_answers(%s::text::jsonb, {IN_MINUTES})", given, after)


def outcomes(db: Database) -> list[str | None]:
    return [row["outcome"] for row in db.sql("select outcome from dispatch.pushes order by id")]


# Devices.


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        "web.push.apple.com/x",
        "http://web.push.apple.com/x",
        "https://web.push.apple.com",
        "https://web.push.apple.com/",
        "https://web.push.apple.com:443/x",
        "https://web.push.apple.com:8443/x",
        "https://user@web.push.apple.com/x",
        "https://web.push.apple.com@127.0.0.1/x",
        "https://web.push.apple.com\\@127.0.0.1/x",
        "https://push.apple.com.example.org/x",
        "https://xpush.apple.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://web.push.apple.com/a b",
        "https://web.push.apple.com/x\nHost: y",
        "https://WEB.PUSH.APPLE.COM./x",
        APPLE + "x" * 2000,
        # What a sender's own libraries choke on.
        "https://.push.apple.com/x",
        "https://a..push.apple.com/x",
        "https://-.push.apple.com/x",
        "https://a-.push.apple.com/x",
        "https://xn--.push.apple.com/x",
        f"https://a.{'x' * 64}.push.apple.com/x",
    ],
)
def test_an_address_that_is_no_push_services_is_refused(
    shared: Database, endpoint: str | None
) -> None:
    connection = shared.connect(shared.make_customer())
    with refused("PT422", "invalid_device"):
        rpc(connection, "register_device", **Device("").subscription() | {"endpoint": endpoint})
    assert shared.sql("select * from dispatch.devices") == []


@pytest.mark.parametrize("key", ["p256dh", "auth"])
@pytest.mark.parametrize("wrong", [None, "", "x", "short", "long", "standard alphabet"])
def test_keys_of_another_length_are_refused(shared: Database, key: str, wrong: str | None) -> None:
    good = Device(f"{APPLE}x").subscription()
    text = {
        "short": good[key][:-4],
        "long": good[key] + "AAAA",
        "standard alphabet": "+/" + good[key][2:],
    }.get(wrong or "", wrong)
    connection = shared.connect(shared.make_customer())
    with refused("PT422", "invalid_device"):
        rpc(connection, "register_device", **good | {key: text})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:APA91b-_x",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB",
        "https://web.push.apple.com/QGrF",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAB%2fk%3d",
    ],
)
def test_what_browsers_give_is_taken(shared: Database, endpoint: str) -> None:
    user = shared.make_customer()
    Device(endpoint).register(shared, user)
    (row,) = shared.sql("select endpoint, user_id from dispatch.devices")
    assert (row["endpoint"], str(row["user_id"])) == (endpoint, user)


def test_a_device_is_whoever_registered_it_last(shared: Database) -> None:
    one, other = shared.make_customer(), shared.make_customer()
    phone = device(shared, one)
    phone.register(shared, other)
    rpc(shared.connect(one), "unregister_device", endpoint=phone.endpoint)
    assert [str(r["user_id"]) for r in shared.sql("select * from dispatch.devices")] == [other]
    rpc(shared.connect(other), "unregister_device", endpoint=phone.endpoint)
    rpc(shared.connect(other), "unregister_device", endpoint=phone.endpoint)
    assert shared.sql("select * from dispatch.devices") == []


def test_ten_devices_at_most_and_no_flood_of_them(shared: Database) -> None:
    user, count = shared.make_customer(), "select count(*) from dispatch.devices"
    phones = [device(shared, user) for _ in range(10)]
    with refused("PT429", "too_many_devices"):
        device(shared, user)
    phones[0].register(shared, user)  # one that is there already
    device(shared, shared.make_customer())
    assert shared.value(count) == 11
    shared.sql("update dispatch.devices set registered_at = now() - interval '2 hours'")
    newest = device(shared, user)
    assert shared.value(count) == 11
    assert shared.value(
        "select count(*) from dispatch.devices where endpoint = %s", newest.endpoint
    )


def test_two_registrations_at_once_are_ten_devices_still(shared: Database) -> None:
    user = shared.make_customer()
    for _ in range(9):
        device(shared, user)
    shared.sql("update dispatch.devices set registered_at = now() - interval '2 hours'")
    phones = [Device(f"{APPLE}{next(COUNT)}") for _ in range(4)]
    connections = [shared.connect(user) for _ in phones]
    at_once(
        *(
            lambda c=connection, p=phone: rpc(c, "register_device", **p.subscription())
            for connection, phone in zip(connections, phones, strict=True)
        )
    )
    assert shared.value("select count(*) from dispatch.devices") == 10


def test_what_another_registers_at_this_moment_makes_no_room(shared: Database) -> None:
    """The oldest of ten becomes another's while it is looked for."""
    user, other = shared.make_customer(), shared.make_customer()
    phones = [device(shared, user) for _ in range(10)]
    shared.sql("update dispatch.devices set registered_at = now() - interval '2 hours'")
    oldest = "update dispatch.devices set registered_at = '2000-01-01' where endpoint = %s"
    shared.sql(oldest, phones[3].endpoint)
    theirs, mine = shared.connect(other), shared.connect(user)
    with ThreadPoolExecutor() as pool:
        with theirs.transaction():
            rpc(theirs, "register_device", **phones[3].subscription())
            new = Device(f"{APPLE}{next(COUNT)}").subscription()
            later = pool.submit(rpc, mine, "register_device", **new)
            shared.wait_until_blocked(mine)
        later.result()
    query = "select count(*) from dispatch.devices where user_id = %s"
    assert [shared.value(query, each) for each in (user, other)] == [10, 1]


@pytest.mark.parametrize("function", ["register_device", "unregister_device", "acknowledge_notice"])
def test_nobody_who_is_not_signed_in(shared: Database, function: str) -> None:
    arguments: dict[str, dict[str, object]] = {
        "register_device": {**Device(f"{APPLE}x").subscription()},
        "unregister_device": {"endpoint": f"{APPLE}x"},
        "acknowledge_notice": {"event_id": 1},
    }
    with refused("PT401", "not_signed_in"):
        rpc(shared.connect(), function, **arguments[function])
    with refused("42501"):
        rpc(shared.connect(role="anon"), function, **arguments[function])


@pytest.mark.parametrize("role", ["anon", "authenticated", "webhook_app"])
def test_only_the_sender_is_given_pushes(shared: Database, role: str) -> None:
    connection = (
        shared.open(role)
        if role == "webhook_app"
        else shared.connect(shared.make_customer(), role=role)
    )
    for statement in (
        "select * from public.claim_pushes()",
        "select public.finish_pushes('[]')",
        "select * from dispatch.take_pushes()",
        "select dispatch.record_answers('[]')",
        "select * from dispatch.devices",
        "select * from dispatch.pushes",
    ):
        with refused("42501"):
            connection.execute(statement.encode())


def test_the_owner_names_other_services(db: Database) -> None:
    db.sql(
        "select dispatch.set_push_services(%s)", ["https://push.example.com:8443", ".example.org"]
    )
    user = db.make_customer()
    for endpoint in ("https://push.example.com:8443/x", "https://a.b.example.org/y"):
        Device(endpoint).register(db, user)
    for endpoint in ("https://push.example.com/x", "https://example.org/y", f"{APPLE}z"):
        with refused("PT422", "invalid_device"):
            Device(endpoint).register(db, user)
    for wrong in (None, ["*"], ["apple"], ["https://x/y"], [""], [None]):
        with refused("22023"):
            db.sql("select dispatch.set_push_services(%s::text[])", wrong)


# Who is told.


def test_nothing_is_queued_where_nobody_has_a_device(shared: Database) -> None:
    shared.make_request(preferred=shared.make_mechanic())
    assert queued(shared) == []


def test_a_favourite_is_told_at_once_and_again_at_half_time(shared: Database) -> None:
    favourite, other, customer = (shared.make_mechanic(online=False) for _ in range(3))
    phone = device(shared, favourite)
    device(shared, other)
    device(shared, customer)
    request = shared.make_request(customer, preferred=favourite)
    first, reminder = queued(shared)
    row = shared.request(request)
    ends_at = row["priority_notified_at"] + timedelta(minutes=10)
    assert (first["is_reminder"], reminder["is_reminder"]) == (False, True)
    assert reminder["due_at"] == row["priority_notified_at"] + timedelta(minutes=5)
    assert first["expires_at"] == reminder["expires_at"] == ends_at

    (given,) = take(shared)
    assert given["endpoint"] == phone.endpoint
    assert (given["urgency"], given["topic"]) == ("high", request.replace("-", ""))
    assert 590 <= given["ttl"] <= 600
    payload = shared.value("select %s::text::jsonb", given["payload"])
    assert payload.pop("event_id") == first["event_id"]
    assert datetime.fromisoformat(payload.pop("window_ends_at")) == ends_at
    assert payload == {
        "event": "priority_request",
        "audience": "mechanic",
        "request_id": request,
        "title": "A customer asks for you",
        "body": "Chat session, yours alone for 10 minutes.",
    }
    finish(shared, (first["id"], 201))
    assert take(shared) == take(shared, after=4.9) == []
    (given,) = take(shared, after=5.1)
    assert "for 5 minutes" in given["payload"]
    finish(shared, (reminder["id"], 201), after=5.1)
    assert take(shared, after=9) == []


def test_who_has_seen_it_is_not_reminded(shared: Database) -> None:
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    first, _ = queued(shared)
    finish(shared, (take(shared)[0]["push_id"], 201))
    for event in (first["event_id"], 10**15, 0):
        rpc(shared.connect(other), "acknowledge_notice", event_id=event)
    assert outcomes(shared) == ["sent", None]
    rpc(shared.connect(favourite), "acknowledge_notice", event_id=first["event_id"])
    assert outcomes(shared) == ["sent", "acknowledged"]
    assert take(shared, after=6) == []


@pytest.mark.parametrize(
    "what",
    ["accepted", "declined", "cancelled", "opened", "suspended", "another", "unregistered", "late"],
)
def test_what_does_not_hold_any_more_is_not_sent(shared: Database, what: str) -> None:
    favourite, customer = shared.make_mechanic(), shared.make_customer()
    phone = device(shared, favourite)
    request = shared.make_request(customer, preferred=favourite)
    assert len(queued(shared)) == 2
    if what == "accepted":
        rpc(shared.connect(favourite), "accept_session_request", request_id=request)
    elif what == "declined":
        rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    elif what == "cancelled":
        rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    elif what == "opened":
        winner = shared.make_mechanic()
        rpc(shared.connect(customer), "broadcast_session_request_now", request_id=request)
        rpc(shared.connect(winner), "accept_session_request", request_id=request)
    elif what == "suspended":
        shared.sql("update public.mechanics set status = 'suspended' where id = %s", favourite)
    elif what == "another":
        phone.register(shared, shared.make_mechanic())
    elif what == "unregistered":
        rpc(shared.connect(favourite), "unregister_device", endpoint=phone.endpoint)
    assert take(shared, after=10 if what == "late" else 0) == []
    assert take(shared, after=6) == []


def test_who_is_another_s_customer_by_now_stops_no_other_push(shared: Database) -> None:
    """A writer may give a request to another account, as when two are made one."""
    favourite, other = shared.make_mechanic(), shared.make_mechanic()
    former = shared.make_mechanic(online=False)  # who books, too
    phones = {each: device(shared, each) for each in (favourite, other, former)}
    asked, given_back = shared.make_request(preferred=favourite), shared.make_request(former)
    for call in ("accept_session_request", "release_session_request"):
        rpc(shared.connect(favourite), call, request_id=given_back)
    queued(shared)
    for request, customer in ((asked, favourite), (given_back, shared.make_customer())):
        shared.sql("update session_requests set customer_id = %s where id = %s", customer, request)
    shared.make_request(preferred=other)
    queued(shared)
    assert (phones[other].endpoint, "A customer asks for you") in titles(take(shared))


def test_of_a_broadcast_the_best_who_are_not_online_are_told_never_all(shared: Database) -> None:
    customer = shared.make_customer()
    near = [shared.make_mechanic(online=False, city="Graz") for _ in range(30)]
    far = [shared.make_mechanic(online=False) for _ in range(40)]
    for mechanic in (*near, *far):
        device(shared, mechanic)
    device(shared, shared.make_mechanic(online=True, city="Graz"))
    device(shared, shared.make_mechanic("pending", online=False))
    device(shared, customer)
    shared.make_mechanic(online=False, city="Graz")  # without a device
    shared.make_request(customer, customer_city="Graz")
    (one,) = queued(shared)
    assert one["user_id"] is None and one["endpoint"] is None
    given = take(shared)
    told = [
        str(row["user_id"])
        for row in shared.sql("select user_id from dispatch.pushes where endpoint is not null")
    ]
    assert len(given) == len(told) == 50
    assert set(near) < set(told) <= {*near, *far}
    assert {
        each["title"]
        for each in [shared.value("select %s::text::jsonb", g["payload"]) for g in given]
    } == {"A customer is waiting"}
    assert outcomes(shared)[0] == "addressed"


def test_a_broadcast_that_is_over_reaches_nobody(shared: Database) -> None:
    winner, other = shared.make_mechanic(), shared.make_mechanic(online=False)
    device(shared, other)
    request = shared.make_request()
    assert len(queued(shared)) == 1
    rpc(shared.connect(winner), "accept_session_request", request_id=request)
    assert take(shared) == []
    assert outcomes(shared) == ["addressed"]


@pytest.mark.parametrize(
    ("end", "title"),
    [
        ("accepted", "A mechanic took your request"),
        ("window", "Every mechanic is asked now"),
        ("declined", "Every mechanic is asked now"),
        ("expired", "Nobody took your request"),
        ("refunded", "Your payment was refunded"),
        ("cancelled", None),
        ("completed", None),
    ],
)
def test_a_customer_is_told_what_they_wait_for(
    shared: Database, end: str, title: str | None
) -> None:
    favourite, customer = shared.make_mechanic(), shared.make_customer()
    phone = device(shared, customer)
    request = shared.make_request(customer, preferred=favourite)
    assert queued(shared) == []
    if end in ("accepted", "completed"):
        rpc(shared.connect(favourite), "accept_session_request", request_id=request)
    if end == "completed":
        assert len(queued(shared)) == 1
        rpc(shared.connect(favourite), "complete_session_request", request_id=request)
    elif end == "window":
        shared.sql("select dispatch.sweep(10, now() + interval '11 minutes')")
    elif end == "declined":
        rpc(shared.connect(favourite), "decline_session_request", request_id=request)
    elif end == "expired":
        shared.sql("update public.session_requests set status = 'expired' where id = %s", request)
    elif end == "refunded":
        shared.sql(
            "update public.session_requests set status = 'cancelled',"
            ' metadata = metadata || \'{"refunded_at": "2026-01-01"}\' where id = %s',
            request,
        )
    elif end == "cancelled":
        rpc(shared.connect(customer), "cancel_session_request", request_id=request)
    queued(shared)
    given = take(shared)
    assert titles(given) == ([(phone.endpoint, title)] if title else [])
    assert all(json.loads(each["payload"])["audience"] == "customer" for each in given)


def test_a_customer_is_told_that_another_is_looked_for(shared: Database) -> None:
    """And not of what they did themselves; the second time, that it is over."""
    customer, others = shared.make_customer(), [shared.make_mechanic() for _ in range(2)]
    phone = device(shared, customer)
    request = shared.make_request(customer)
    told = []
    for mechanic in others:
        rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
        queued(shared)
        rpc(shared.connect(mechanic), "release_session_request", request_id=request)
        queued(shared)
        told += titles(take(shared))
    # That one took it is over by then; in the end so is that another is looked for.
    words = ["Finding another mechanic", "Your request was cancelled"]
    assert told == [(phone.endpoint, title) for title in words]


@pytest.mark.parametrize("times", [1, 2])
def test_a_customer_is_not_told_that_nobody_came(shared: Database, times: int) -> None:
    customer, others = shared.make_customer(), [shared.make_mechanic() for _ in range(times)]
    device(shared, customer)
    request = shared.make_request(customer)
    for mechanic in others:
        rpc(shared.connect(mechanic), "accept_session_request", request_id=request)
        shared.sql("update session_requests set accepted_at = now() - interval '10 minutes'")
        rpc(shared.connect(customer), "reopen_session_request", request_id=request)
    queued(shared)
    assert titles(take(shared)) == []


def test_who_gave_it_back_is_not_told_that_it_is_everyones(shared: Database) -> None:
    mechanics = [shared.make_mechanic(online=False) for _ in range(2)]
    phones = [device(shared, mechanic) for mechanic in mechanics]
    request = shared.make_request()
    rpc(shared.connect(mechanics[0]), "accept_session_request", request_id=request)
    queued(shared)
    assert take(shared) == []
    rpc(shared.connect(mechanics[0]), "release_session_request", request_id=request)
    queued(shared)
    assert titles(take(shared)) == [(phones[1].endpoint, "A customer is waiting")]


def test_no_payload_names_anybody(shared: Database) -> None:
    favourite, customer = shared.make_mechanic(), shared.make_customer()
    device(shared, favourite)
    device(shared, customer)
    shared.make_request(customer, preferred=favourite)
    shared.sql("select dispatch.sweep(10, now() + interval '11 minutes')")
    queued(shared)
    text = "".join(each["payload"] for each in take(shared))
    for word in ("Zoe", "Quill", "mail.example", "blue", "Mia", favourite, customer):
        assert word not in text


# The sender's side.


def test_a_push_is_one_senders_until_its_time_is_up(shared: Database) -> None:
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    shared.sql("delete from dispatch.pushes where is_reminder")
    claims = [shared.connect(role="service_role").execute for _ in range(2)]
    found = at_once(
        *(
            lambda c=claim: c("select push_id from public.claim_pushes()").fetchall()
            for claim in claims
        )
    )
    ((push,),) = found[0] + found[1]
    assert take(shared) == []
    assert [each["push_id"] for each in take(shared, after=0.6)] == [push]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, None])
def test_what_may_pass_is_tried_again_later_and_not_for_ever(
    shared: Database, status: int | None
) -> None:
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    shared.sql("delete from dispatch.pushes where is_reminder")
    (given,) = take(shared)
    with shared.owner.transaction():  # at one time
        finish(shared, (given["push_id"], status))
        (row,) = shared.sql("select *, due_at - now() as wait from dispatch.pushes")
    assert row["status"] == status and row["finished_at"] is None
    assert timedelta(seconds=1) < row["wait"] < timedelta(seconds=3)
    waits = []
    for _ in range(10):
        (row,) = shared.sql(
            "select extract(epoch from due_at - now()) / 60 as after from dispatch.pushes"
        )
        if not (again := take(shared, after=row["after"])):
            break
        finish(shared, (again[0]["push_id"], status), after=float(row["after"]))
        waits.append(row["after"])
    assert len(waits) >= 8 and waits[-1] < 10
    shared.sql("select * from dispatch.take_pushes(1, '1 s', now() + interval '10 minutes')")
    assert outcomes(shared)[0] in ("over", "given_up")


def test_retry_after_is_kept(shared: Database) -> None:
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    (given,) = take(shared)
    answer = '[{"push_id": %s, "status": 429, "retry_after": 120}]' % given["push_id"]  # noqa: UP031
    shared.sql("select dispatch.record_answers(%s::text::jsonb)", answer)
    assert take(shared, after=1.9) == []
    assert len(take(shared, after=2.1)) == 1


def test_no_number_of_tries_and_no_wait_is_too_large(shared: Database) -> None:
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    (given,) = take(shared)
    shared.sql("update dispatch.pushes set attempts = 2000, expires_at = 'infinity'")
    for wait in ("null", "251606407714", "-1", "1e300"):
        answer = f'[{{"push_id": {given["push_id"]}, "status": 503, "retry_after": {wait}}}]'
        shared.sql("select dispatch.record_answers(%s::text::jsonb)", answer)
        within = (
            f"due_at between now() + '45 s' and now() + '{'1 day' if len(wait) > 4 else '75 s'}'"
        )
        assert shared.value(f"select {within} from dispatch.pushes where id = %s", given["push_id"])


@pytest.mark.parametrize("status", [301, 400, 401, 403, 413])
def test_what_is_refused_for_good_is_not_tried_again_and_health_says_so(
    shared: Database, status: int
) -> None:
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    finish(shared, (take(shared)[0]["push_id"], status))
    assert outcomes(shared) == ["refused", None]
    (row,) = shared.sql("select * from dispatch.health() where check_name = 'pushes_accepted'")
    assert row["ok"] is False and str(status) in row["detail"]
    assert shared.value("select count(*) from dispatch.devices") == 1


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("online", [True, False])
def test_a_favourite_none_of_whose_devices_is_there_is_not_waited_for(
    shared: Database, status: int, online: bool
) -> None:
    favourite = shared.make_mechanic(online=online)
    device(shared, favourite)
    device(shared, favourite)
    request = shared.make_request(preferred=favourite)
    queued(shared)
    one, other = take(shared)
    finish(shared, (one["push_id"], status))
    assert shared.log(request) == ["priority_request"]
    finish(shared, (other["push_id"], status))
    assert shared.log(request) == ["priority_request"] + (
        [] if online else ["new_request:unreachable"]
    )
    assert shared.sql("select * from dispatch.devices") == []
    assert take(shared, after=6) == []


@pytest.mark.parametrize("poison", EACH_POISON)
def test_a_request_that_cannot_be_moved_on_keeps_no_answer_out(db: Database, poison: str) -> None:
    """Else the sender told of none any more, and each push left again every half a minute."""
    gone, other = db.make_mechanic(online=False), db.make_mechanic()
    device(db, gone)
    device(db, other)
    request = db.make_request(preferred=gone, notes="poison")
    db.make_request(preferred=other)
    queued(db)
    db.sql(poison)
    first, second = take(db)
    finish(db, (first["push_id"], 410), (second["push_id"], 201))
    assert sorted(filter(None, outcomes(db))) == ["gone", "sent"]
    assert db.log(request) == ["priority_request"]


def test_an_answer_that_comes_late_or_twice_changes_nothing(shared: Database) -> None:
    favourite = shared.make_mechanic(online=False)
    device(shared, favourite)
    request = shared.make_request(preferred=favourite)
    queued(shared)
    (given,) = take(shared)
    finish(shared, (given["push_id"], 201))
    finish(shared, (given["push_id"], 410), (10**12, 410))
    assert outcomes(shared) == ["sent", None]
    assert shared.log(request) == ["priority_request"]


def test_skip_if_offline_knows_whose_phone_can_ring(shared: Database) -> None:
    def book(mechanic: str) -> list[str]:
        request = shared.make_request(
            metadata={
                "routing_type": "priority_broadcast",
                "preferred_mechanic_id": mechanic,
                "skip_if_offline": "true",
            }
        )
        return shared.log(request)

    with_phone, without, online = (
        shared.make_mechanic(online=each) for each in (False, False, True)
    )
    assert book(without) == ["priority_skipped:offline", "new_request"]
    device(shared, with_phone)
    assert book(with_phone) == ["priority_request"]
    assert book(online) == ["priority_request"]
    assert book(without) == ["priority_skipped:unreachable", "new_request"]


def test_a_favourites_list_says_who_can_be_reached_and_not_how(shared: Database) -> None:
    customer, gone = shared.make_customer(), shared.make_mechanic("suspended")
    with_phone, without, online = (
        shared.make_mechanic(online=each) for each in (False, False, True)
    )
    device(shared, with_phone)
    device(shared, gone)
    shared.sql(
        "insert into public.customer_favorites select %s, id from public.mechanics", customer
    )
    listed = rpc(shared.connect(customer), "list_favorite_mechanics")
    assert {each["mechanic_id"]: each["is_reachable"] for each in listed} == {
        with_phone: True,
        online: True,
        without: False,
        gone: False,
    }


# What is kept, and watched.


def test_health_knows_when_no_sender_runs(shared: Database) -> None:
    check = "select ok from dispatch.health(now() + %s) where check_name = 'pushes_on_time'"
    favourite = shared.make_mechanic()
    device(shared, favourite)
    shared.make_request(preferred=favourite)
    queued(shared)
    assert shared.value(check, timedelta(seconds=50)) is True
    assert shared.value(check, timedelta(seconds=70)) is False
    assert shared.value(check, timedelta(minutes=11)) is True  # of no use any more


def test_what_is_over_and_who_is_gone_is_deleted(shared: Database) -> None:
    favourite, gone = shared.make_mechanic(), shared.make_customer()
    device(shared, favourite)
    device(shared, gone)
    shared.make_request(preferred=favourite)
    queued(shared)
    finish(shared, (take(shared)[0]["push_id"], 201))
    shared.sql("delete from auth.users where id = %s", gone)
    assert shared.value("select dispatch.prune_pushes('30 days')") == 1
    assert [str(r["user_id"]) for r in shared.sql("select * from dispatch.devices")] == [favourite]
    prune = "select dispatch.prune_pushes('30 days', 1000, now() + interval '31 days')"
    assert shared.value(prune) == 2
    assert shared.sql("select * from dispatch.pushes") == []


def test_base64url() -> None:
    assert len(base64url(bytes(65))) == 87 and len(base64url(bytes(16))) == 22
