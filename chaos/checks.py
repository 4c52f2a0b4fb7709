"""Whether a record and the database agree, and what they say was allowed.

Each check yields one line for each violation. Where a client and the database may have met at
either side of a moment (a window's end, say), the check lets both pass.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

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
    "too_early",
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
# These end all of a chain; the others, one turn.
FOR_EVERYONE = {"customer", "flag_off"}
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
FEED = "session_requests_feed"
# With these a request is the next one's, or everyone's.
OPENINGS = {"priority_request", "new_request"}
# These leave a window as it is; mechanic_away is of the mechanic, not of the request.
NO_NEWS = {"request_declined", "priority_skipped", "mechanic_away"}
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
                "request_released",  # and then cancelled
            }:
                yield f"{event['event']} of {request}, which was refunded before"


def each_request_has_one_winner(record: Record, database: Database) -> Iterator[str]:
    """One at a time: the next after it was given back, and that once."""
    deleted = record.subjects("deleted")
    winners: dict[str, list[str | None]] = {}
    holders: dict[str, str | None] = {}
    released: dict[str, list[str | None]] = {}
    for request, events in database.events.items():
        holder = None
        for event, following in itertools.zip_longest(events, events[1:]):
            if event["event"] == "request_accepted":
                if holder:
                    yield f"{request} was accepted by {mechanic_of(event)}, and {holder} had it"
                holder = mechanic_of(event)
                winners.setdefault(request, []).append(holder)
            elif event["event"] == "request_released":
                released.setdefault(request, []).append(holder)
                holder = None
                if len(released[request]) > 1 and not (
                    following and following["event"] == "request_cancelled"
                ):
                    yield f"{request} was given back twice, and not cancelled"
        holders[request] = holder
    for request, row in database.requests.items():
        holder = holders.get(request)
        if row["mechanic_id"] != holder and not (holder in deleted and not row["mechanic_id"]):
            yield f"{request} is {row['mechanic_id']}'s, and {holder} accepted it"
    for answer in record.answers:
        request = answer.request or ""
        done: list[str | None] | None = {
            "accept": winners.get(request, []),
            "complete": [holders.get(request)],
            "release": released.get(request, []),
        }.get(answer.action)
        if done is not None and answer.outcome == OK and answer.user not in done:
            yield f"{answer.user} was told {answer.action} of {request}: {done}"
        if answer.outcome == "request_taken" and request not in winners:
            yield f"{answer.user} was told that {request} is taken, which it never was"


def nobody_gets_back_what_they_gave_back(record: Record, database: Database) -> Iterator[str]:
    """Nor whoever did not come. They know its id from the feed, as all others do."""
    told = first_notices(record)
    gone: dict[str, list[tuple[str, float]]] = {}
    for request, events in database.events.items():
        for number, event in enumerate(events):
            mechanic = mechanic_of(event) if event["event"] == "request_released" else None
            if not mechanic:
                continue
            gone.setdefault(mechanic, []).append((request, known_at(event, told)))
            for later in events[number + 1 :]:
                is_its_end = later is events[number + 1] and later["event"] == "request_cancelled"
                if f"mechanic:{mechanic}" in later["topics"] and not is_its_end:
                    yield f"{later['event']} of {request} was told {mechanic}, who gave it back"
    for answer in record.answers:
        for request, since in gone.get(answer.user, ()):
            if answer.began <= since:
                continue
            if request in answer.shown and answer.action != "catch up":
                yield f"{answer.user} saw {request} by {answer.action}, given back"
            if (answer.request, answer.outcome) == (request, OK) and answer.action in {
                "accept",
                "decline",
                "complete",
            }:
                yield f"{answer.user} was let {answer.action} {request}, given back"
    for push in record.pushes:
        for request, since in gone.get(push.user, ()):
            if push.request == request and push.at > since + ON_ITS_WAY:
                yield f"{push.user} was pushed {request}, given back"


def nobody_is_let_in(record: Record, database: Database) -> Iterator[str]:
    """While a request is reserved nobody meets it but its customer and the one favourite whose turn
    it is, from its own start to its own end: not who comes next, nor who was asked before."""
    told = first_notices(record)
    chains = {
        request: turns
        for request, events in database.events.items()
        if (turns := turns_of(events, told))
    }
    filled = filled_by(record, database)
    until = {
        request: reserved_until(record, turns, turns[-1], filled)
        for request, turns in chains.items()
    }
    gone = record.subjects("suspended") | record.subjects("deleted") | filled.keys()
    gone |= {mechanic for _, mechanic in blocked(record)}

    def is_shut(request: str | None, user: str, began: float, ended: float) -> bool:
        turns = chains.get(request or "")
        # The backend, who is nobody, may see all.
        if not turns or not request or user in {"", turns[0].customer} or ended >= until[request]:
            return False
        # By the clock it was theirs, until they were gone: before it was written anywhere.
        if user in gone & turns[0].passed_over:
            return False
        return all(
            ended < turn.began or began > turn.over for turn in turns if turn.favourite == user
        )

    for answer in record.answers:
        # What was for them stays listed among their events.
        began = -math.inf if answer.action == "catch up" else answer.began
        for request in answer.shown:
            if is_shut(request, answer.user, began, answer.ended):
                yield f"{answer.user} saw {request} by {answer.action}, reserved for another"
        if (
            answer.action in {"accept", "decline", "complete", "release"}
            and is_shut(answer.request, answer.user, began, answer.ended)
            and answer.outcome not in {LOST, "request_not_found", "not_a_mechanic"}
            # Asked again, a decline has the same answer.
            and not (
                (answer.action, answer.outcome) == ("decline", OK)
                and any(
                    is_decline(event) and event["actor_id"] == answer.user
                    for event in database.events[answer.request or ""]
                )
            )
        ):
            yield (
                f"{answer.user} was answered {answer.outcome} to {answer.action} of"
                f" {answer.request}, reserved for another"
            )
    heard: list[tuple[Notice | Push, float]] = [
        *((notice, -math.inf) for notice in record.notices),
        *((push, push.at - ON_ITS_WAY) for push in record.pushes),
    ]
    for each, began in heard:
        if is_shut(each.request, each.user, began, each.at):
            yield f"{each.user} heard of {each.request}, reserved for another"
    for request, turns in chains.items():
        for turn in turns:
            shut_until = reserved_until(record, turns, turn, filled, waited=LONGEST)
            for event in [turn.event, *itertools.takewhile(is_no_opening, turn.later)]:
                if event["event"] == "mechanic_away":
                    continue
                if event["at"] < shut_until and not turn.topics.issuperset(event["topics"]):
                    yield f"{event['event']} of {request}, reserved, went to {event['topics']}"
        row = database.requests.get(request)
        if row and row["preferred_mechanic_id"]:  # null once that mechanic is deleted
            asked = {f"customer:{row['customer_id']}", f"mechanic:{row['preferred_mechanic_id']}"}
            if turns[-1].topics != asked:
                yield f"{request} was announced to {set(turns[-1].topics)}, and not to {asked}"


def each_favourite_is_asked_in_turn(record: Record, database: Database) -> Iterator[str]:
    """Once, in the order of the booking, each for a window of their own; then everyone."""
    told, pairs = first_notices(record), blocked(record)
    for request, events in database.events.items():
        turns = turns_of(events, told)
        row = database.requests.get(request)
        wish = record.wishes.get(request) or record.wishes.get((row and row["checkout"]) or "", ())
        asked: list[str] = []  # or passed over, at the booking out of turn
        for event in events:
            reason = event["payload"].get("reason")
            if event["event"] in {"priority_request", "priority_skipped"}:
                is_turn = event["event"] == "priority_request"
                favourite = favourite_of(event) if is_turn else event["payload"].get("mechanic_id")
                if favourite in asked:
                    yield f"{request} was for {favourite} twice"
                is_next = set(asked).issuperset(itertools.takewhile(favourite.__ne__, wish))
                if wish and (favourite not in wish or (is_turn and not is_next)):
                    yield f"{request} was wished for {wish}, and for {favourite} after {asked}"
                asked.append(favourite)
            elif (
                event["event"] == "new_request"
                and reason in FALLBACK_REASONS - FOR_EVERYONE
                and not set(asked).issuperset(wish)
            ):
                yield f"{request} of {wish} was broadcast, {reason}, after {asked} alone"
        for before, turn in itertools.pairwise(turns):
            reason = turn.event["payload"].get("reason")
            # With a block the customer ends one favourite's turn alone.
            is_blocked = reason == "customer" and (turn.customer, before.favourite) in pairs
            if reason not in FALLBACK_REASONS - FOR_EVERYONE and not is_blocked:
                yield f"{request} went on to {turn.favourite} for the reason {reason}"
            due = before.ends if reason == "window_ended" else turn.event["at"]
            if abs(turn.began - due) > 0.001:
                yield f"the turn of {turn.favourite} for {request} began {turn.began - due} s late"
            if turn.event["at"] < due:
                yield f"{turn.favourite} was told of {request} before their turn"


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
            and (answer.shown or answer.action in {"accept", "decline", "complete", "release"})
        ):
            yield f"{answer.user}, suspended, was answered {answer.action} of {answer.request}"


def nobody_hears_of_whom_they_blocked(record: Record, database: Database) -> Iterator[str]:
    """From the block's commit on, either way; what was accepted before stays."""
    log = {event["id"]: event for event in itertools.chain.from_iterable(database.events.values())}
    customers = {
        request: str(events[0]["topics"][0]).removeprefix("customer:")
        for request, events in database.events.items()
    }
    since = {
        tuple(str(each.subject).split()): each.ended
        for each in record.interventions
        if each.kind == "blocked" and each.done
    }
    began = {request: events[0]["at"] for request, events in database.events.items()}
    for event in log.values():
        for customer, mechanic in since:
            if (
                customers[event["request_id"]] == customer
                and f"mechanic:{mechanic}" in event["topics"]
                and event["at"] > since[customer, mechanic]
                and event["event"] in {"priority_request", "request_accepted", "request_declined"}
            ):
                yield f"{event['event']} of {event['request_id']} for {mechanic}, blocked"
    for answer in record.answers:
        for request in answer.shown | {answer.request}:
            pair = customers.get(request or "", ""), answer.user
            if answer.began <= since.get(pair, math.inf):
                continue
            is_let = answer.action in {"accept", "decline"} and answer.outcome == OK
            if is_let and began[request or ""] > since[pair]:
                yield f"{answer.user} was let {answer.action} {request}, blocked"
            if request in answer.shown and answer.action in {"list", "look"}:
                yield f"{answer.user} saw {request} by {answer.action}, blocked"
    heard: list[Notice | Push] = [*record.notices, *record.pushes]
    for each in heard:
        pair = customers.get(each.request, ""), each.user
        # What is theirs may end.
        if began.get(each.request, 0) > since.get(pair, math.inf):
            yield f"{each.user} heard of {each.request}, blocked"


def nobody_goes_over_the_limit(record: Record, database: Database) -> Iterator[str]:
    """By an accept: of one mechanic they come one after the other, as their events do."""
    told = first_notices(record)
    limits = list(record.limits)
    sessions: dict[str, set[str]] = {}
    holders: dict[str, str] = {}
    log = itertools.chain.from_iterable(database.events.values())
    for event in sorted(log, key=lambda event: int(event["id"])):
        request = event["request_id"]
        if event["event"] == "request_accepted" and (mechanic := mechanic_of(event)):
            holders[request] = mechanic
            open_sessions = sessions.setdefault(mechanic, set())
            open_sessions.add(request)
            # Which limit there was is known where it was the same from its beginning to its commit.
            for limited, unlimited in limits:
                count = int(limited.subject or 0)
                is_known = limited.done and limited.ended < event["at"]
                is_known &= known_at(event, told) < unlimited.began
                if is_known and len(open_sessions) > count:
                    yield f"{mechanic} accepted {request}, with {len(open_sessions)} of {count}"
        elif event["event"] in {"request_completed", "request_cancelled", "request_released"}:
            sessions.get(holders.pop(request, ""), set()).discard(request)


def each_window_is_announced(record: Record, database: Database) -> Iterator[str]:
    met: dict[str, float] = {}  # when each request was there at the latest
    for answer in record.answers:
        for request in answer.shown:
            met[request] = min(met.get(request, math.inf), answer.ended)
    for notice in record.notices:
        met[notice.request] = min(met.get(notice.request, math.inf), notice.at)

    told = first_notices(record)
    for request, events in database.events.items():
        for number, turn in enumerate(turns_of(events, told)):
            quiet = list(itertools.takewhile(is_no_news, turn.later))
            # When the next was heard of it: of another's turn, for one.
            news = min((event["at"] for event in turn.later[len(quiet) :][:1]), default=math.inf)
            if news == math.inf:
                if turn.ends < database.now - GRACE:
                    yield f"the window of {request} ended, and nobody was told"
                if turn.favourite not in database.approved:
                    yield f"{request} is reserved for {turn.favourite}, who is gone"
            for event in filter(is_decline, quiet):
                if event["actor_id"] == turn.favourite and event["at"] < news:
                    yield f"{request} was declined by {turn.favourite}, and nobody was told then"
            known = known_at(turn.event, told) if number else -math.inf
            for began, ended, what in endings(record, turn.favourite):
                if max(known, met.get(request, math.inf)) < began and news > ended:
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
                continue
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
    shy = {customer for customer, _ in blocked(record)}
    for notice in record.notices:
        row = log.get(notice.event)
        is_spread = row is not None and row["topics"][0].removeprefix("customer:") in shy
        is_addressed = row is not None and (
            notice.topic in row["topics"]
            # By name, where somebody else is not to hear of it.
            or (notice.topic == f"mechanic:{notice.user}" and FEED in row["topics"] and is_spread)
        )
        if row is None or not is_addressed or row["request_id"] != notice.request:
            yield f"{notice.user} heard event {notice.event} on {notice.topic}: not in the log"


def each_notice_is_heard(record: Record, database: Database) -> Iterator[str]:
    """By whoever listened all the time: notices come in the order of the commits they leave with,
    so up to the last one none is missing, nor up to the end where a connection was never cut. (What
    came on one topic before the connection listened on the next says nothing of that.)"""
    heard: dict[str, list[Notice]] = {name: [] for name in record.listening}
    for notice in record.notices:
        heard[notice.connection].append(notice)
    log = {event["id"]: event for event in itertools.chain.from_iterable(database.events.values())}
    for name, listening in record.listening.items():
        commits = [log[each.event]["committed"] for each in heard[name] if each.event in log]
        until = max(commits, default=0) if listening.ended is None else listening.ended
        known = {(each.event, each.topic) for each in heard[name]}
        known |= {(each.event, FEED) for each in heard[name] if each.topic.startswith("mechanic:")}
        for event in log.values():
            if listening.began < event["committed"] < until:
                for topic in set(record.topics[listening.user]) & set(event["topics"]):
                    if (event["id"], topic) not in known:
                        yield f"{listening.user} listened on {topic}, not hearing {event['id']}"


def each_favourite_is_pushed(record: Record, database: Database) -> Iterator[str]:
    """To a device that was there all the time: at least once, or the queue says why not."""
    yield from (f"a push was {each}" for each in record.unsound_pushes)
    pairs = blocked(record)
    queued: dict[tuple[int, str], list[Row]] = {}
    for row in database.pushes:
        queued.setdefault((row["event_id"], row["user_id"]), []).append(row)
        if row["outcome"] is None and row["due"] < database.now - PUSH_GRACE < row["expires"]:
            yield f"push {row['id']} of {row['request_id']} is due, and no sender took it"
    taken = {(each.event, each.user) for each in record.pushes if each.taken}
    for turn in itertools.chain.from_iterable(
        turns_of(events, {}) for events in database.events.values()
    ):
        event, request = turn.event, turn.event["request_id"]
        if event["delivered_at"] is None:
            continue
        rows = queued.get((event["id"], turn.favourite), [])
        late = event["delivered_at"] >= turn.ends
        is_blocked = (turn.customer, turn.favourite) in pairs  # before it was delivered, perhaps
        if turn.favourite in database.with_device and not rows and not late and not is_blocked:
            yield f"{turn.favourite} was never to be pushed {request}"
        for row in rows:
            if row["outcome"] == "sent" and (event["id"], turn.favourite) not in taken:
                yield f"push {row['id']} of {request} was sent, and never came"


def nobody_is_pushed_what_is_over(record: Record, database: Database) -> Iterator[str]:
    """A push that is on its way when a request ends may still come; and when it was given back."""
    over: dict[str, list[tuple[float, float]]] = {}
    for request, events in database.events.items():
        for number, event in enumerate(events):
            if event["event"] in {"request_accepted", "request_cancelled"}:
                began = event["committed"] or event["at"]
                again = [each["at"] for each in events[number:] if each["event"] == "new_request"]
                over.setdefault(request, []).append((began, min(again, default=math.inf)))
    for push in record.pushes:
        is_customer = f"customer:{push.user}" in record.topics.get(push.user, ())
        if not is_customer and any(
            began + ON_ITS_WAY < push.at < ended for began, ended in over.get(push.request, ())
        ):
            yield f"{push.user} was pushed {push.request}, which was over"


CHECKS: tuple[Check, ...] = (
    answers_are_the_contracts,
    each_paid_session_has_one_request,
    nothing_refunded_is_offered,
    each_request_has_one_winner,
    nobody_gets_back_what_they_gave_back,
    nobody_is_let_in,
    each_favourite_is_asked_in_turn,
    nobody_suspended_is_let_in,
    nobody_hears_of_whom_they_blocked,
    nobody_goes_over_the_limit,
    each_window_is_announced,
    transitions_make_sense,
    listeners_miss_nothing,
    each_notice_is_heard,
    each_favourite_is_pushed,
    nobody_is_pushed_what_is_over,
)


@dataclass(frozen=True)
class Turn:
    """A favourite's, of up to three."""

    event: Row
    later: list[Row]  # all that came after it
    favourite: str
    customer: str
    began: float  # by the clock, however late it was told
    ends: float
    over: float  # by when, at the latest, it was the next favourite's
    passed_over: frozenset[str]  # of the whole chain

    @property
    def topics(self) -> frozenset[str]:
        return frozenset({f"customer:{self.customer}", f"mechanic:{self.favourite}"})


def turns_of(events: list[Row], told: dict[int, float]) -> list[Turn]:
    """Whose turn it was, by the event log; `told` is of first_notices."""
    passed_over = frozenset(
        event["payload"].get("mechanic_id", "")
        for event in events
        if event["event"] == "priority_skipped"
    )
    numbers = [n for n, event in enumerate(events) if event["event"] == "priority_request"]
    turns = []
    for number, following in itertools.zip_longest(numbers, numbers[1:]):
        event = events[number]
        over = math.inf
        if following:
            over = known_at(events[following], told)
            if events[following]["payload"].get("reason") == "window_ended":
                over = event["window_ends"]
        turns.append(
            Turn(
                event,
                events[number + 1 :],
                favourite_of(event),
                event["topics"][0].removeprefix("customer:"),
                event["window_began"],
                event["window_ends"],
                over,
                passed_over,
            )
        )
    return turns


def favourite_of(asked: Row) -> str:
    # The customer's topic comes first, then the favourite's.
    return str(asked["topics"][1]).removeprefix("mechanic:")


def mechanic_of(event: Row) -> str | None:
    """Who accepted it, or gave it back; None: their account was gone."""
    # The customer's topic comes first, then the mechanic's.
    own = [topic for topic in event["topics"][1:2] if topic.startswith("mechanic:")]
    return str(own[0]).removeprefix("mechanic:") if own else None


def first_notices(record: Record) -> dict[int, float]:
    """When each event was first heard of."""
    told: dict[int, float] = {}
    for notice in record.notices:
        told[notice.event] = min(notice.at, told.get(notice.event, math.inf))
    return told


def known_at(event: Row, told: dict[int, float]) -> float:
    """By when, at the latest, an event's transaction was committed: its time is when that began."""
    return min(float(event["at"]) + LONGEST, told.get(event["id"], math.inf))


def is_decline(event: Row) -> bool:
    return bool(event["event"] == "request_declined")


def is_no_news(event: Row) -> bool:
    return event["event"] in NO_NEWS


def is_no_opening(event: Row) -> bool:
    return event["event"] not in OPENINGS


def blocked(record: Record) -> set[tuple[str, str]]:
    """Customers and mechanics, perhaps."""
    pairs = (each.split() for each in record.subjects("blocked"))
    return {(customer, mechanic) for customer, mechanic in pairs}


Filled = Mapping[str, list[tuple[float, float]]]


def filled_by(record: Record, database: Database) -> Filled:
    """When mechanics accepted something while there was a limit, or one was set, and by when that
    was known: from then on they may have lost what was theirs, before it was written anywhere."""
    filled: dict[str, list[tuple[float, float]]] = {}
    limits, told = list(record.limits), first_notices(record)
    for event in itertools.chain.from_iterable(database.events.values()):
        if event["event"] == "request_accepted" and (mechanic := mechanic_of(event)):
            filled.setdefault(mechanic, []).extend(
                (max(event["at"], limited.began), max(known_at(event, told), limited.ended))
                for limited, unlimited in limits
                if event["at"] < unlimited.ended
            )
    return {mechanic: times for mechanic, times in filled.items() if times}


def reserved_until(
    record: Record,
    turns: list[Turn],
    turn: Turn,
    filled: Filled,
    waited: float = 0,
) -> float:
    """Until when, at least, nobody but this turn's favourite may meet the request.

    An event's time is when its transaction began. One that then waited for a lock met the flag and
    the favourite as they were so much later.
    """
    booked = turns[0].event["at"]
    ends = [turn.ends]
    ends += [event["at"] for event in turn.later if event["event"] in OPENINGS]
    ends += [
        max(booked, since - waited)
        for since, known in filled.get(turn.favourite, ())
        if known > booked
    ]
    # A window that the flag or the favourite's leaving ended is over before anyone is told.
    ends += [
        max(booked, each.began - waited)
        for each in record.interventions
        if (each.kind == "flag off" or each.subject == turn.favourite) and each.ended > booked
    ]
    return float(min(ends))
