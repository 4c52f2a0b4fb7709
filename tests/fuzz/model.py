"""The rules in a few lines: who may do what to a request, and what becomes of it."""

from dataclasses import dataclass, field


@dataclass
class Request:
    id: str
    customer: str
    favourite: str | None  # null: nobody was asked first
    payment: str | None = None
    status: str = "pending"
    broadcast: bool = False
    window_over: bool = False
    ended_inside: bool = False  # of its window
    stale: bool = False  # its expires_at has come
    winner: str | None = None


@dataclass
class Model:
    enabled: bool = True
    approved: set[str] = field(default_factory=set)
    requests: dict[str, Request] = field(default_factory=dict)
    declined: set[tuple[str, str]] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)

    def reserved_for(self, request: Request) -> str | None:
        """The favourite, as long as the request was not broadcast and there is such a thing."""
        favourite = request.favourite
        is_kept = self.enabled and favourite in self.approved and not request.broadcast
        return favourite if is_kept else None

    def favourite_of(self, customer: str, wanted: str | None) -> str | None:
        """Who is asked first, if this one is wanted."""
        is_possible = self.enabled and wanted in self.approved and wanted != customer
        return wanted if is_possible else None

    def refusal(self, request_id: str, mechanic: str) -> str | None:
        """Why an approved mechanic may not accept; None: may."""
        request = self.requests.get(request_id)
        if request is None or request.customer == mechanic:
            return "request_not_found"
        is_shut = not request.window_over if request.status == "pending" else request.ended_inside
        if self.reserved_for(request) not in (None, mechanic) and is_shut:
            return "request_not_found"
        if request.status in ("cancelled", "expired"):
            return f"request_{request.status}"
        if request.status != "pending":
            return "request_taken"
        if request.stale:
            return "request_expired"
        return "request_not_found" if (request_id, mechanic) in self.declined else None

    def not_pending(self, request: Request) -> str | None:
        if request.status in ("cancelled", "expired"):
            return f"request_{request.status}"
        if request.status != "pending":
            return "request_not_pending"
        return "request_expired" if request.stale else None

    def not_own(self, request_id: str, user: str, role: str) -> str | None:
        """Why this user is not the request's customer, or its winner."""
        request = self.requests.get(request_id)
        own = request and (request.customer if role == "customer" else request.winner)
        if own == user:
            return None
        if request and user in (request.customer, request.winner):
            return "not_yours"
        hidden = self.refusal(request_id, user) == "request_not_found"
        return "request_not_found" if hidden else "not_yours"

    # What each command is refused with (None: it is done), and what it does.

    def accept(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        request = self.requests.get(request_id)
        if request and request.winner == user:
            return None  # asked again
        refused = self.refusal(request_id, user)
        if request and not refused:
            self.end(request, "accepted")
            request.winner = user
        return refused

    def decline(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        if (request_id, user) in self.declined:
            return None  # asked again
        request = self.requests.get(request_id)
        if request and request.winner == user:
            return "request_not_pending"
        refused = self.refusal(request_id, user)
        if request and not refused:
            self.declined.add((request_id, user))
            if self.reserved_for(request) == user:
                request.broadcast = True
        return refused

    def complete(self, request_id: str, user: str) -> str | None:
        if user not in self.approved:
            return "not_a_mechanic"
        refused = self.not_own(request_id, user, "mechanic")
        if not refused:
            self.requests[request_id].status = "completed"
        return refused

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
        return {
            request_id
            for request_id, request in self.requests.items()
            if request.status == "pending" and self.refusal(request_id, mechanic) is None
        }

    # What happens without a client.

    def end(self, request: Request, status: str) -> None:
        request.ended_inside = bool(self.reserved_for(request)) and not request.window_over
        request.status = status

    def book(self, request: Request) -> None:
        self.requests[request.id] = request
        request.broadcast = request.favourite is None
        if request.payment in self.refunded:
            request.status, request.favourite, request.broadcast = "cancelled", None, False

    def refund(self, payment: str) -> None:
        self.refunded.add(payment)
        for request in self.pending():
            if request.payment == payment:
                self.end(request, "cancelled")

    def sweep(self) -> None:
        for request in self.pending():
            request.broadcast |= request.window_over or not self.enabled
            if request.stale:
                self.end(request, "expired")

    def turn(self, enabled: bool) -> None:
        if enabled and not self.enabled:
            self.sweep()  # what was open to all is announced while it still is
        self.enabled = enabled
        if not enabled:
            self.sweep()

    def suspend(self, mechanic: str) -> None:
        self.approved.discard(mechanic)
        for request in self.pending():
            request.broadcast |= request.favourite == mechanic

    def delete(self, user: str) -> None:
        self.suspend(user)
        for request in list(self.requests.values()):
            if request.customer == user:
                del self.requests[request.id]
            if request.favourite == user:
                request.favourite = None
            if request.winner == user:
                request.winner = None

    def pending(self) -> list[Request]:
        return [each for each in self.requests.values() if each.status == "pending"]
