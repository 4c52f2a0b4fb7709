"""Whether a record and the database agree, and what they say was allowed.

Each check yields one line for each violation. Where a client and the database may have met at
either side of a moment (a window's end, say), the check lets both pass.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator

from chaos.record import LOST, OK, Database, Intervention, Notice, Push, Record, Row

Check = Callable[[Record, Database], Iterator[str]]

# The contract's words for what a client cannot do.
REFUSALS = {
    "not_signed_in",
    "not_a_mechanic",
    "not_yours",
    "feature_disabled",
    "request_not_found",
    "request_taken",
    "at_capacity",
    "request_not_pending",
    "request_cancelled",
    "request_expired",
}
FALLBACK_REASONS = {
    "window_ended",
    "declined",
    "customer",
    "flag_off",
    "mechanic_gone",
    "at_capacity",
    "unreachable",
}
# Where each event leads from each state of a request.
TRANSITIONS = {
    "": {
        "priority_request": "reserved",
        "priority_skipped": "skipped",
        "new_request": "open",
        "request_cancelled": "over",  # refunded before it was booked
    },
    "skipped": {
        "priority_skipped": "skipped",
        "priority_request": "reserved",
        "new_request": "open",
    },
    "reserved": {
        # The next favourite's turn.
        "priority_skipped": "reserved",
        "priority_request": "reserved",
        "new_request": "open",
        "request_declined": "reserved",
        "request_accepted": "accepted",
        "request_cancelled": "over",
    },
    "open": {
        "request_declined": "open",
        "request_accepted": "accepted",
        "request_cancelled": "over",
    },
    "accepted": {
        "request_completed": "completed",
        "request_cancelled": "over",
        "request_refunded": "accepted",
        "request_released": "released",
    },
    "released": {"new_request": "open", "request_cancelled": "over"},
    "completed": {"request_refunded": "completed"},
    "over": {},
}
STATUSES = {
    "reserved": {"pending"},
    "open": {"pending"},
    "accepted": {"accepted"},
    "completed": {"completed"},
    "over": {"cancelled", "expired"},
}
PAID = {"checkout.session.completed", "checkout.session.async_payment_succeeded"}
# From a window's end to its announcement, once all is quiet.
GRACE = 3
# From when a push is due until a sender has it: what a dead one had comes back after 30 s.
PUSH_GRACE = 40
# How long a sender waits for a push service's answer, and a little for what is before that.
ON_ITS_WAY = 15
# How long a transaction may wait for a lock.
LONGEST = 20


def violations(record: Record, database: Database) -> list[str]:
    return [f"{check.__name__}: {line}" for check in CHECKS for line in check(record, database)]


def answers_are_the_contracts(record: Record, _: Database) -> Iterator[str]:
    for answer in record.answers:
        if answer.outcome not in REFUSALS | {OK, LOST}:
            yield f"{answer.action} of {answer.request} by {answer.user}: {answer.outcome}"
    deleted = record.subjects("deleted")
    added = {each.subject: each for each in record.interventions if each.kind == "plan added"}
    for posting in record.postings:
        # Kept with its error: its customer is gone, or its plan is not there yet.
        plan = added.get(posting.plan)
        is_excused = posting.customer in deleted or (plan and posting.began < plan.ended)
        if posting.outcome not in {OK, LOST} and not (
            posting.outcome == "not_processed" and is_excused
        ):
            yield f"{posting.kind} {posting.event}: {posting.outcome}"


def each_paid_session_has_one_request(record: Record, database: Database) -> Iterator[str]:
    booked = Counter(row["checkout"] for row in database.requests.values() if row["checkout"])
    for checkout, count in booked.items():
        if count > 1:
            yield f"{checkout} has {count} requests"
    deleted = record.subjects("deleted")
    paid = {
        posting.checkout
        for posting in record.postings
        if posting.kind in PAID and posting.customer not in deleted
    }
    for checkout in paid:
        if not booked[checkout]:
            yield f"{checkout} was paid and has no request"
    for event in {posting.event for posting in record.postings if posting.outcome == OK}:
        if event not in database.ledger or not database.ledger[event]["processed_at"]:
            yield f"{event} was acknowledged and is not in the ledger as processed"


def nothing_refunded_is_offered(record: Record, database: Database) -> Iterator[str]:
    refunded: dict[str, float] = {}
    for posting in record.postings:
        if posting.kind == "charge.refunded" and posting.outcome == OK:
            earlier = refunded.get(posting.payment, posting.ended)
            refunded[posting.payment] = min(earlier, posting.ended)
    for request, row in database.requests.items():
        if row["payment"] not in refunded:
            continue
        if row["status"] == "pending":
            yield f"{request} is refunded and pending"
        for event in database.events.get(request, []):
            # Accepted before, it stays, as the work is being done.
            if event["at"] > refunded[row["payment"]] and event["event"] not in {
                "request_cancelled",
                "request_completed",
                "request_refunded",
            }:
                yield f"{event['event']} of {request}, which was refunded before"


def each_request_has_one_winner(record: Record, database: Database) -> Iterator[str]:
    deleted = record.subjects("deleted")
    winners = {}
    for request, events in database.events.items():
        found = [winner_of(event) for event in events if event["event"] == "request_accepted"]
        if len(found) > 1:
            yield f"{request} was accepted by {found}"
        if found:
            winners[request] = found[-1]
    for request, row in database.requests.items():
        winner = winners.get(request)
        if row["mechanic_id"] != winner and not (winner in deleted and not row["mechanic_id"]):
            yield f"{request} is {row['mechanic_id']}'s, and {winner} accepted it"
    for answer in record.answers:
        winner = winners.get(answer.request or "")
        if (
            answer.action in {"accept", "complete"}
            and answer.outcome == OK
            and winner != answer.user
        ):
            yield f"{answer.user} was told {answer.action} of {answer.request}: {winner}'s"
        if answer.outcome == "request_taken" and winner is None:
            yield f"{answer.user} was told that {answer.request} is taken, which it never was"


def nobody_is_let_in(record: Record, database: Database) -> Iterator[str]:
    """Nobody but the favourite and the customer meets a request while it is reserved."""
    reserved = {
        request: (reserved_until(record, events), frozenset(events[0]["topics"][:2]))
        for request, events in database.events.items()
        if events[0]["event"] == "priority_request"
    }

    def is_shut(request: str | None, user: str, at: float) -> bool:
        until, topics = reserved.get(request or "", (0, frozenset()))
        # The backend, who is nobody, may see all.
        return user != "" and at < until and not topics & {f"mechanic:{user}", f"customer:{user}"}

    for answer in record.answers:
        for request in answer.shown:
            if is_shut(request, answer.user, answer.ended):
                yield f"{answer.user} saw {request} by {answer.action}, reserved for another"
        if (
            answer.action in {"accept", "decline", "complete"}
            and is_shut(answer.request, answer.user, answer.ended)
            and answer.outcome not in {LOST, "request_not_found", "not_a_mechanic"}
        ):
            yield (
                f"{answer.user} was answered {answer.outcome} to {answer.action} of"
                f" {answer.request}, reserved for another"
            )
    heard: list[Notice | Push] = [*record.notices, *record.pushes]
    for notice in heard:
        if is_shut(notice.request, notice.user, notice.at):
            yield f"{notice.user} heard of {notice.request}, reserved for another"
    for request, (_, topics) in reserved.items():
        events = database.events[request]
        until = reserved_until(record, events, waited=LONGEST)
        for event in itertools.takewhile(is_no_broadcast, events):
            if event["at"] < until and not topics.issuperset(event["topics"]):
                yield f"{event['event']} of {request}, reserved, went to {event['topics']}"
        row = database.requests.get(request)
        if row and row["preferred_mechanic_id"]:  # null once that mechanic is deleted
            told = {f"customer:{row['customer_id']}", f"mechanic:{row['preferred_mechanic_id']}"}
            if topics != told:
                yield f"{request} was announced to {set(topics)}, and not to {told}"


def nobody_suspended_is_let_in(record: Record, _: Database) -> Iterator[str]:
    since = {
        each.subject: each.ended
        for each in record.interventions
        if each.kind == "suspended" and each.done
    }
    for answer in record.answers:
        if (
            answer.began > since.get(answer.user, math.inf)
            and answer.outcome == OK
            and (answer.shown or answer.action in {"accept", "decline", "complete"})
        ):
            yield f"{answer.user}, suspended, was answered {answer.action} of {answer.request}"


def each_window_is_announced(record: Record, database: Database) -> Iterator[str]:
    met: dict[str, float] = {}  # when each request was there at the latest
    for answer in record.answers:
        for request in answer.shown:
            met[request] = min(met.get(request, math.inf), answer.ended)
    for notice in record.notices:
        met[notice.request] = min(met.get(notice.request, math.inf), notice.at)

    for request, events in database.events.items():
        first, *later = events
        if first["event"] == "priority_request":
            favourite = favourite_of(first)
            declines = list(itertools.takewhile(is_decline, later))
            # When the next was heard of it.
            news = min((event["at"] for event in later[len(declines) :][:1]), default=math.inf)
            if news == math.inf:
                if first["window_ends"] < database.now - GRACE:
                    yield f"the window of {request} ended, and nobody was told"
                if favourite not in database.approved:
                    yield f"{request} is reserved for {favourite}, who is gone"
            for event in declines:
                if event["actor_id"] == favourite and event["at"] < news:
                    yield f"{request} was declined by {favourite}, and nobody was told then"
            for began, ended, what in endings(record, favourite):
                if met.get(request, math.inf) < began and news > ended:
                    yield f"{what} ended the window of {request}, and nobody was told then"
        for event in events:
            if event["delivered_at"] is None:
                yield f"event {event['id']} of {request} was not delivered"


def endings(record: Record, favourite: str) -> Iterator[tuple[float, float, str]]:
    """What ended every window of this favourite's that was open when it began."""
    off: Intervention | None = None
    for each in record.interventions:
        if each.done and each.kind in {"suspended", "deleted"} and each.subject == favourite:
            yield each.began, each.ended, each.kind
        # A row that somebody locked is announced a little later, before the flag is on again.
        elif each.done and each.kind == "flag off":
            off = each
        elif each.done and each.kind == "flag on" and off:
            yield off.began, each.ended, "flag off"
            off = None


def transitions_make_sense(_: Record, database: Database) -> Iterator[str]:
    for request, events in database.events.items():
        state, declined = "", set()
        for event in events:
            if event["event"] == "mechanic_away":
                continue  # of the mechanic, not of the request
            after = TRANSITIONS[state].get(event["event"])
            if after is None:
                yield f"{request} is {state or 'new'}, and then {event['event']}"
                break
            if event["event"] == "new_request":
                is_fallback = event["payload"].get("is_fallback_broadcast")
                has_reason = event["payload"].get("reason") in FALLBACK_REASONS
                if not (is_fallback is has_reason is (state == "reserved")):
                    yield f"{request} is {state or 'new'}, and broadcast as {event['payload']}"
            if event["event"] == "request_declined":
                if event["actor_id"] in declined:
                    yield f"{request} was declined twice by {event['actor_id']}"
                declined.add(event["actor_id"])
            state = after
        else:
            was_broadcast = any(event["event"] == "new_request" for event in events)
            yield from fits(request, state, was_broadcast, database.requests.get(request))
    for request in database.requests.keys() - database.events.keys():
        yield f"{request} has no event"


def fits(request: str, state: str, was_broadcast: bool, row: Row | None) -> Iterator[str]:
    """Whether the row is as the events left it."""
    if row is None:
        if state not in {"completed", "over"}:
            yield f"{request} is gone, and nobody was told"
    elif row["status"] not in STATUSES.get(state, set()):
        yield f"{request} is {row['status']}, and its events say {state}"
    elif was_broadcast != bool(row["notification_sent_at"]):
        yield f"{request} was broadcast at {row['notification_sent_at']}; its events differ"


def listeners_miss_nothing(record: Record, database: Database) -> Iterator[str]:
    log = {event["id"]: event for event in itertools.chain.from_iterable(database.events.values())}
    for user, listed in record.listed.items():
        topics = set(record.topics[user])
        addressed = {event for event, row in log.items() if topics & set(row["topics"])}
        if missed := addressed - set(listed):
            yield f"{user} was never listed the events {sorted(missed)[:10]}"
        if strange := set(listed) - addressed:
            yield f"{user} was listed the events {sorted(strange)[:10]} of others, or of nobody"
        if listed != sorted(set(listed)):
            yield f"{user} was listed events out of order, or twice"
    for notice in record.notices:
        row = log.get(notice.event)
        if row is None or notice.topic not in row["topics"] or row["request_id"] != notice.request:
            yield f"{notice.user} heard event {notice.event} on {notice.topic}: not in the log"


def each_notice_is_heard(record: Record, database: Database) -> Iterator[str]:
    """By whoever listened all the time: notices come in the order of the commits they leave with,
    so between two of them none is missing, nor up to the end where a connection was never cut."""
    heard: dict[str, list[Notice]] = {name: [] for name in record.listening}
    for notice in record.notices:
        heard[notice.connection].append(notice)
    log = {event["id"]: event for event in itertools.chain.from_iterable(database.events.values())}
    for name, listening in record.listening.items():
        commits = [log[each.event]["committed"] for each in heard[name] if each.event in log]
        since = min(commits, default=math.inf)
        until = max(commits, default=0)
        if listening.ended is not None:
            since, until = min(since, listening.began), listening.ended
        known = {(each.event, each.topic) for each in heard[name]}
        for event in log.values():
            if since < event["committed"] < until:
                for topic in set(record.topics[listening.user]) & set(event["topics"]):
                    if (event["id"], topic) not in known:
                        yield f"{listening.user} listened on {topic}, not hearing {event['id']}"


def each_favourite_is_pushed(record: Record, database: Database) -> Iterator[str]:
    """To a device that was there all the time: at least once, or the queue says why not."""
    yield from (f"a push was {each}" for each in record.unsound_pushes)
    queued: dict[tuple[int, str], list[Row]] = {}
    for row in database.pushes:
        queued.setdefault((row["event_id"], row["user_id"]), []).append(row)
        if row["outcome"] is None and row["due"] < database.now - PUSH_GRACE < row["expires"]:
            yield f"push {row['id']} of {row['request_id']} is due, and no sender took it"
    taken = {(each.event, each.user) for each in record.pushes if each.taken}
    for request, events in database.events.items():
        first = events[0]
        if first["event"] != "priority_request" or first["delivered_at"] is None:
            continue
        favourite = favourite_of(first)
        rows = queued.get((first["id"], favourite), [])
        late = first["delivered_at"] >= first["window_ends"]
        if favourite in database.with_device and not rows and not late:
            yield f"{favourite} was never to be pushed {request}"
        for row in rows:
            if row["outcome"] == "sent" and (first["id"], favourite) not in taken:
                yield f"push {row['id']} of {request} was sent, and never came"


def nobody_is_pushed_what_is_over(record: Record, database: Database) -> Iterator[str]:
    """A push that is on its way when a request ends may still come."""
    ends = {
        request: min(
            (
                each["committed"] or each["at"]
                for each in events
                if each["event"] in {"request_accepted", "request_cancelled"}
            ),
            default=math.inf,
        )
        for request, events in database.events.items()
    }
    for push in record.pushes:
        is_customer = f"customer:{push.user}" in record.topics.get(push.user, ())
        if not is_customer and push.at > ends.get(push.request, math.inf) + ON_ITS_WAY:
            yield f"{push.user} was pushed {push.request}, which was over"


CHECKS: tuple[Check, ...] = (
    answers_are_the_contracts,
    each_paid_session_has_one_request,
    nothing_refunded_is_offered,
    each_request_has_one_winner,
    nobody_is_let_in,
    nobody_suspended_is_let_in,
    each_window_is_announced,
    transitions_make_sense,
    listeners_miss_nothing,
    each_notice_is_heard,
    each_favourite_is_pushed,
    nobody_is_pushed_what_is_over,
)


def favourite_of(first: Row) -> str:
    # The customer's topic comes first, then the favourite's.
    return str(first["topics"][1]).removeprefix("mechanic:")


def winner_of(accepted: Row) -> str:
    # The customer's topic comes first, then the winner's.
    return str(accepted["topics"][1]).removeprefix("mechanic:")


def is_decline(event: Row) -> bool:
    return bool(event["event"] == "request_declined")


def is_no_broadcast(event: Row) -> bool:
    return bool(event["event"] != "new_request")


def reserved_until(record: Record, events: list[Row], waited: float = 0) -> float:
    """Until when, at least, nobody but the favourite may meet this request.

    An event's time is when its transaction began. One that then waited for a lock met the flag and
    the favourite as they were so much later.
    """
    first = events[0]
    favourite = favourite_of(first)
    ends = [first["window_ends"]]
    ends += [event["at"] for event in events if event["event"] == "new_request"]
    # A window that the flag or the favourite's leaving ended is over before anyone is told.
    ends += [
        max(first["at"], each.began - waited)
        for each in record.interventions
        if (each.kind == "flag off" or each.subject == favourite) and each.ended > first["at"]
    ]
    return float(min(ends))
