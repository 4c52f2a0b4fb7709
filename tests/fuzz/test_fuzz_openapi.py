"""Whatever PostgREST's own description of the API allows, and what it does not, as each role."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from stack.services import Stack
from stack.temporary import temporary_stack
from stack.tokens import sign
from tests.database import Database

CANARY = "Zoe Quill"


@dataclass
class Caller:
    """A role's token, and the session that sends it."""

    stack: Stack
    role: str
    user: str | None

    @property
    def headers(self) -> dict[str, str]:
        secret = self.stack.env["JWT_SECRET"]
        return {
            "apikey": self.stack.env["SUPABASE_ANON_KEY"],
            "Authorization": f"Bearer {sign(self.role, self.user, secret=secret)}",
        }

    @property
    def url(self) -> str:
        return f"{self.stack.env['SUPABASE_URL']}/rest/v1"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with temporary_stack() as stack:
        yield stack


@pytest.fixture(params=["anon", "customer", "mechanic", "service_role"])
def caller(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Someone beside whom others have booked, with their names in each request."""
    assert stack.cluster
    with Database(stack.cluster, "postgres") as db:
        db.sql("select dispatch.set_favorites_priority(true)")
        others = db.make_mechanic(), db.make_mechanic()
        for preferred in (None, *others):
            db.make_request(preferred=preferred, customer_name=CANARY)
        accepted = db.make_request(customer_name=CANARY)
        db.sql(
            "update session_requests set status = 'accepted', mechanic_id = %s where id = %s",
            *(others[0], accepted),
        )
        match request.param:
            case "customer":
                yield Caller(stack, "authenticated", db.make_customer())
            case "mechanic":
                yield Caller(stack, "authenticated", db.make_mechanic())
            case role:
                yield Caller(stack, role, None)


def test_any_call(caller: Caller, inputs: int) -> None:
    description = httpx.get(f"{caller.url}/", headers=caller.headers).json()
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    statuses = set()
    with requests.Session() as session:
        session.headers.update(caller.headers)
        for operation in operations:
            for mode in GenerationMode:

                @settings(max_examples=max(1, inputs // 200))
                @given(operation.as_strategy(mode))
                def call(case: Case[Any]) -> None:
                    response = case.call(caller.url, session, headers=caller.headers)
                    statuses.add(response.status_code)
                    assert response.status_code < 500, case.as_curl_command() + response.text
                    if caller.role != "service_role":
                        assert CANARY not in response.text, case.as_curl_command()

                # A call that takes nothing has no wrong form.
                with suppress(Unsatisfiable) if mode.is_negative else nullcontext():
                    call()
    assert len(operations) >= 2 and statuses & {200, 201}
