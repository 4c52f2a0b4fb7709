"""What clients were told is done, and what of it the database does not have."""

from collections.abc import Iterator

from chaos.record import OK, Database, Record

# The event that each action leaves behind.
EVENTS = {
    "accept": "request_accepted",
    "decline": "request_declined",
    "cancel": "request_cancelled",
    "complete": "request_completed",
    "broadcast": "new_request",
    "release": "request_released",
    "reopen": "request_released",
}
OWN = {"accept", "decline", "release"}  # only the caller's own event will do


def paid(record: Record) -> set[str]:
    """Stripe's events that were answered with 200."""
    return {posting.event for posting in record.postings if posting.outcome == OK}


def done(record: Record) -> set[tuple[str, str, str]]:
    """Who was answered that they did what to which request."""
    answers = [answer for answer in record.answers if answer.outcome == OK]
    actions = {
        (answer.user, answer.action, answer.request)
        for answer in answers
        if answer.action in EVENTS and answer.request
    }
    return actions | {
        (answer.user, answer.action, request)
        for answer in answers
        if answer.action == "insert"
        for request in answer.shown
    }


def count(record: Record) -> int:
    return len(paid(record)) + len(done(record))


def lost(record: Record, database: Database) -> Iterator[str]:
    for event in sorted(paid(record)):
        if event not in database.ledger or not database.ledger[event]["processed_at"]:
            yield f"{event} was answered with 200, and the ledger does not have it"
    for user, action, request in sorted(done(record)):
        left = [
            event
            for event in database.events.get(request, [])
            if action == "insert" or event["event"] == EVENTS[action]
            if action not in OWN or event["actor_id"] == user
        ]
        if not left:
            yield f"{action} of {request} by {user or 'the backend'} was answered, and is not there"
