"""Who calls the API, and beside whom: others have booked, and their names are in each request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
import schemathesis
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from stack.tokens import sign
from tests.database import Database

SECRET = "fuzz " * 8
ROLES = ["anon", "customer", "mechanic", "suspended", "service_role"]
# The name in tests.database, which must not come back, however it was asked for.
CANARY = "Zoe Quill"
PRIVATE = ("customer_name", "customer_email", "notes", "metadata")
Answer = requests.Response | schemathesis.Response


@dataclass
class Caller:
    """Somebody with a role's token, and what they are answered."""

    role: str
    url: str
    session: requests.Session

    @property
    def may_see_all(self) -> bool:
        return self.role == "service_role"

    def check(self, response: Answer, sent: str) -> None:
        """No fault of the server's, and no text of another person's."""
        assert response.status_code < 500, f"{sent}\n{response.text}"
        if not self.may_see_all:
            assert CANARY not in f"{response.text} {response.headers}", sent


@dataclass
class Api:
    url: str
    database: Database

    @contextmanager
    def caller(self, role: str) -> Iterator[Caller]:
        db, user = self.database, None
        db.empty()
        others = db.make_mechanic(), db.make_mechanic()
        for preferred in (None, *others):
            db.make_request(preferred=preferred, metadata={"door": CANARY})
        accepted = db.make_request()
        db.sql(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            *(others[0], accepted),
        )
        db.sql("insert into customer_favorites values (%s, %s)", db.make_customer(), others[0])
        if role == "customer":
            user = db.make_customer()
        elif role in ("mechanic", "suspended"):
            user = db.make_mechanic("approved" if role == "mechanic" else role)
        token = sign("authenticated" if user else role, user, secret=SECRET, seconds=36_000)
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            # PostgREST closes connections that were idle; where it is gone, this does not help.
            session.mount("http://", HTTPAdapter(max_retries=Retry(2, allowed_methods=None)))
            yield Caller(role, self.url, session)
