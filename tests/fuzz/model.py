"""The rules in a few lines: who may do what to a request, and what becomes of it.

On a marketplace that was there first they hold for what a favourite was asked for, and for nothing
else.
"""

from dataclasses import dataclass, field

FEED = "session_requests_feed"
TURNS = ("priority_request", "new_request", "request_accepted", "request_cancelled")


@dataclass
class Request:
    id: str
    customer: str
    favourite: str | None  # null: nobody was asked first
    payment: str | None = None
    steps: list[str] = field(default_factory=list)  # who is asked after the favourite
    minutes: int = 10
    ends: float = 0  # the favourite's window
    status: str = "pending"
    broadcast: bool = False
    ended_inside: bool = False  # of its window
    stale: bool = False  # its expires_at has come
    winner: str | None = None
    accepted: float = 0
    released: dict[str, str] = field(default_factory=dict)  # by whom, and why
    governed: bool = True


@dataclass
class Model:
    governs_all: bool = True  # a marketplace of ours
    now: float = 0  # minutes
    enabled: bool = True
    approved: set[str] = field(default_factory=set)
    requests: dict[str, Request] = field(default_factory=dict)
    declined: set[tuple[str, str]] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)
    blocks: set[tuple[str, str]] = field(default_factory=set)  # by whom, and whom
    limit: int | None = None  # of open sessions
    online: set[str] = field(default_factory=set)  # who say so
    asked: dict[str, str] = field(default_factory=dict)  # whose window is open, or over untold
    silences: dict[str, int] = field(default_factory=dict)  # in a row
    away: list[str] = field(default_factory=list)  # who were told so

    def get(self, request_id: str) -> Request | None:
        """What the RPCs know of."""
        request = self.requests.get(request_id)
        return request if request and request.governed else None

    def reserved_for(self, request: Request) -> str | None:
        """The favourite, as long as the request was not broadcast and there is such a thing."""
        favourite = request.favourite
        is_kept = self.enabled and favourite in self.approved and not request.broadcast
        return favourite if is_kept else None

    def can_be_asked(self, mechanic: str, customer: str) -> bool:
        is_other = mechanic != customer and not self.is_blocked(mechanic, customer)
        return mechanic in self.approved and is_other and not self.is_full(mechanic)

    def is_full(self, mechanic: str) -> bool:
        sessions = [
            each
            for each in self.requests.values()
            if each.winner == mechanic and each.status == "accepted"
        ]
        is_bound = self.governs_all or self.enabled
        return is_bound and self.limit is not None and len(sessions) >= self.limit

    def is_blocked(self, one: str, other: str) -> bool:
        return (one, other) in self.blocks or (other, one) in self.blocks

    def whose_turn(self, request: Request) -> None:
        """By the clock alone, whether or not anything was announced."""
        while self.is_over(request) and request.steps and self.enabled:
            following = request.steps.pop(0)
            if self.can_be_asked(following, request.customer):
                request.favourite, request.ends = following, request.ends + request.minutes

    def is_over(self, request: Request) -> bool:
        return request.ends <= self.now

    def move_on(self, request: Request) -> None:
        """The favourite will not take it."""
        self.whose_turn(request)
        request.ends = min(request.ends, self.now)
        before = request.favourite
        self.whose_turn(request)
        request.broadcast |= request.favourite == before

    def refusal(self, request_id: str, mechanic: str) -> str | None:
        """Why an approved mechanic may not accept; None: may."""
        request = self.get(request_id)
        if request is None or request.customer == mechanic:
            return "request_not_found"
        if self.is_blocked(mechanic, request.customer):
            return "request_not_found"
        self.settle()
        if request.status == "pending":
            is_shut = not self.is_over(request)
            is_shut &= self.reserved_for(request) not in (None, mechanic)
        else:
            # What ended inside its window stays hidden, whatever became of flag and favourite.
            is_shut = request.ended_inside and request.favourite != mechanic
        if is_shut:
            return "request_not_found"
        if request.status in ("cancelled", "expired"):
            return f"request_{request.status}"
        if request.status != "pending":
            return "request_taken"
        if request.stale:
            return "request_expired"
        is_out = (request_id, mechanic) in self.declined or mechanic in request.released
        if is_out:
            return "request_not_found"
        return "at_capacity" if self.is_full(mechanic) else None

    def not_pending(self, request: Request) -> str | None:
        if request.status in ("cancelled", "expired"):
            return f"request_{request.status}"
        if request.status != "pending":
            return "request_not_pending"
        return "request_expired" if request.stale else None

    def not_own(self, request_id: str, user: str, role: str) -> str | None:
        """Why this user is not the request's customer, or its winner."""
        request = self.get(request_id)
        own = request and (request.customer if role == "customer" else request.winner)
        if own == user:
            return None
        if request and user in (request.customer, request.winner):
            return "not_yours"
        if request and user in request.released:
            return "not_yours"
        hidden = self.refusal(request_id, user) == "request_not_found"
        return "request_not_found" if hidden else "not_yours"

    # What each command is refused with (None: it is done), and what it does.

    def accept(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        request = self.get(request_id)
        if request and request.winner == user:
            return None  # asked again
        refused = self.refusal(request_id, user)
        if request and not refused:
            self.take(request, user)
        return refused

    def take(self, request: Request, user: str) -> None:
        self.end(request, "accepted")
        request.winner, request.accepted = user, self.now
        if self.is_full(user):
            self.lose(user)

    def accept_by_update(self, request_id: str, user: str) -> str | None:
        """The marketplace's own statement, for whomever. Of theirs, what is refused is no row."""
        request = self.requests.get(request_id)
        if request is None or request.status != "pending":
            return "no_row"
        if self.governs_all:
            return self.accept(request_id, user)
        self.settle()
        is_bound = request.governed and self.enabled
        is_out = user in request.released or self.is_blocked(user, request.customer)
        if is_bound and (is_out or self.is_full(user) or self.is_reserved(request, user)):
            return "no_row"
        self.take(request, user)
        return None

    def complete_by_update(self, request_id: str) -> str | None:
        request = self.requests.get(request_id)
        if request is None or request.status != "accepted":
            return "no_row"
        self.settle()
        request.status = "completed"
        return None

    def decline(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        if (request_id, user) in self.declined:
            return None  # asked again
        request = self.get(request_id)
        if request and request.winner == user:
            return "request_not_pending"
        refused = self.refusal(request_id, user)
        if refused == "at_capacity":
            refused = None  # one may say no all the same
        if request and not refused:
            self.declined.add((request_id, user))
            if self.reserved_for(request) == user:
                self.silences.pop(user, None)
                self.move_on(request)
        return refused

    def complete(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        refused = self.not_own(request_id, user, "mechanic")
        refused = refused or self.not_accepted(self.requests[request_id], "completed")
        if not refused:
            self.settle()
            self.requests[request_id].status = "completed"
        return refused

    def not_accepted(self, request: Request, *besides: str) -> str | None:
        if request.status in ("accepted", *besides):
            return None
        return self.not_pending(request) or "request_not_pending"

    def release(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        request = self.get(request_id)
        if request and user in request.released:
            return "request_not_pending" if request.released[user] == "no_show" else None
        refused = self.not_own(request_id, user, "mechanic")
        refused = refused or self.not_accepted(self.requests[request_id]) or self.is_theirs()
        if not refused:
            self.put_back(self.requests[request_id], user, "released")
        return refused

    def reopen(self, request_id: str, user: str) -> str | None:
        refused = self.not_own(request_id, user, "customer")
        if refused:
            return refused
        request = self.requests[request_id]
        if request.status == "pending" and "no_show" in request.released.values():
            return None  # asked again
        refused = self.not_accepted(request)
        if not refused and self.now < request.accepted + 10:
            return "too_early"
        refused = refused or self.is_theirs()
        if not refused:
            self.put_back(request, request.winner or request.customer, "no_show")
        return refused

    def is_theirs(self) -> str | None:
        """With the flag off, what was there first has no jobs that are given back."""
        return None if self.governs_all or self.enabled else "request_not_found"

    def put_back(self, request: Request, mechanic: str, reason: str) -> None:
        self.settle()
        is_over = bool(request.released) or request.payment in self.refunded
        request.released[mechanic] = reason
        request.winner = None
        if is_over:
            request.status, request.ended_inside = "cancelled", False
        else:
            request.status, request.broadcast, request.stale = "pending", True, False

    def cancel(self, request_id: str, user: str) -> str | None:
        refused = self.not_own(request_id, user, "customer")
        if not refused:
            request = self.requests[request_id]
            # Of one whose mechanic is gone nobody comes.
            is_stranded = request.status == "accepted" and request.winner is None
            refused = None if is_stranded else self.not_pending(request)
        if not refused:
            self.end(self.requests[request_id], "cancelled")
        return refused

    def broadcast_now(self, request_id: str, user: str) -> str | None:
        refused = self.not_own(request_id, user, "customer")
        refused = refused or self.not_pending(self.requests[request_id])
        if not refused:
            self.requests[request_id].broadcast = True
        return refused

    def timeline(self, request_id: str, user: str) -> str | None:
        return self.not_own(request_id, user, "customer")

    def open_to(self, mechanic: str) -> set[str]:
        self.settle()
        return {
            request_id
            for request_id, request in self.requests.items()
            if request.status == "pending" and self.refusal(request_id, mechanic) is None
        }

    def shown_to(self, mechanic: str) -> set[str]:
        """The pending rows that row level security lets a mechanic read, but their own bookings."""
        if self.governs_all:
            return self.open_to(mechanic)
        self.settle()
        return {
            request.id
            for request in self.pending()
            if request.customer != mechanic and not self.is_hidden(request, mechanic)
        }

    def is_hidden(self, request: Request, mechanic: str) -> bool:
        """By the one policy that the feature adds to theirs."""
        is_out = mechanic in request.released or self.is_blocked(mechanic, request.customer)
        is_out = self.enabled and (is_out or self.is_full(mechanic))
        return request.governed and (is_out or self.is_reserved(request, mechanic))

    def is_reserved(self, request: Request, mechanic: str) -> bool:
        """For another than this mechanic, by the clock."""
        return self.reserved_for(request) not in (None, mechanic) and not self.is_over(request)

    # Who is there, by what they say and by what they leave unanswered.

    def press(self, user: str, status: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        (self.online.add if status == "online" else self.online.discard)(user)
        return None

    def hear(
        self, event: str, request: str, reason: str | None, topics: list[str], by: str
    ) -> None:
        """Each event in the log tells whose window ended by time, whenever that was seen."""
        if event not in TURNS:
            return
        asked = self.asked.pop(request, None)
        other = "".join(topics[1:2]).removeprefix("mechanic:")
        if event == "priority_request":
            self.asked[request] = other
        # Everyone is told of the end of what was open to everyone, broadcast or not.
        is_over = reason == "window_ended" or (event != "new_request" and FEED in topics)
        if asked and event == "request_accepted" and other == asked:
            self.silences.pop(asked, None)
        # What they left before is seen late, by themselves: they are there.
        elif asked and is_over and asked in self.online and asked != by:
            self.silences[asked] = self.silences.get(asked, 0) + 1
            if self.silences[asked] == 2:
                del self.silences[asked]
                self.online.discard(asked)
                self.away.append(asked)

    # What happens without a client.

    def end(self, request: Request, status: str) -> None:
        self.settle()
        request.ended_inside = bool(self.reserved_for(request)) and not self.is_over(request)
        request.status = status

    def book(self, request: Request) -> None:
        self.requests[request.id] = request
        request.broadcast = request.favourite is None
        request.ends = self.now + request.minutes
        if request.payment in self.refunded:
            request.status, request.favourite, request.broadcast = "cancelled", None, False
        request.governed = self.governs_all or request.favourite is not None
        request.broadcast |= not request.governed

    def refund(self, payment: str) -> None:
        self.refunded.add(payment)
        for request in self.pending():
            if request.payment == payment:
                self.end(request, "cancelled")

    def sweep(self) -> None:
        self.settle()
        for request in self.pending():
            request.broadcast |= self.is_over(request) or not self.enabled
        if self.governs_all:
            self.expire()

    def expire(self) -> None:
        """Theirs is theirs to do."""
        for request in self.pending():
            if request.stale:
                self.end(request, "expired")

    def turn(self, enabled: bool) -> None:
        if enabled and not self.enabled:
            self.sweep()  # what was open to all is announced while it still is
        self.enabled = enabled
        if not enabled:
            self.sweep()

    def settle(self) -> None:
        for request in self.pending():
            if not request.broadcast:
                self.whose_turn(request)

    def approve(self, mechanic: str) -> None:
        self.settle()
        self.approved.add(mechanic)

    def suspend(self, mechanic: str) -> None:
        self.settle()
        self.approved.discard(mechanic)
        self.lose(mechanic)

    def lose(self, mechanic: str) -> None:
        """Their open windows."""
        for request in self.pending():
            if (
                request.favourite == mechanic
                and not request.broadcast
                and not self.is_over(request)
            ):
                self.move_on(request)

    def set_limit(self, limit: int | None) -> None:
        if limit != self.limit:
            self.sweep()
        self.limit = limit
        for mechanic in sorted(self.approved):
            if self.is_full(mechanic):
                self.lose(mechanic)

    def block(self, user: str, other: str, is_blocked: bool) -> None:
        self.settle()
        if user != other and is_blocked:
            self.blocks.add((user, other))
        self.blocks -= set() if is_blocked else {(user, other)}
        for request in self.pending():
            is_theirs = {request.customer, request.favourite} == {user, other}
            is_open = not request.broadcast and not self.is_over(request)
            if self.is_blocked(user, other) and is_theirs and is_open:
                self.move_on(request)

    def delete(self, user: str) -> None:
        self.suspend(user)
        self.online.discard(user)
        for request in list(self.requests.values()):
            if request.customer == user:
                del self.requests[request.id]
            if request.favourite == user:
                request.favourite = None
                request.broadcast |= request.status == "pending"
            if request.winner == user:
                request.winner = None

    def pending(self) -> list[Request]:
        return [each for each in self.requests.values() if each.status == "pending"]
