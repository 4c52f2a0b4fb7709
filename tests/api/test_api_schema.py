"""Where PostgREST shows clients another schema than public, by the page's own lines."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack import ROOT
from stack.network import free_ports
from stack.postgres import run_psql
from stack.services import postgrest
from stack.tokens import sign
from tests.database import Database

SECRET = "another schema " * 3


@pytest.fixture
def url(db: Database, tmp_path: Path) -> Iterator[str]:
    db.sql("create schema api; grant usage on schema api to anon, authenticated, service_role")
    page = (ROOT / "docs/installing.md").read_text()
    (block,) = re.findall(r"^```sql\n(select format\(.*?\\gexec)$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "api.sql"
    file.write_text(block)
    for _ in range(2):
        run_psql(db.dsn(), "-f", str(file))
    (port,) = free_ports(0)
    service = postgrest(tmp_path, db.dsn("authenticator"), port, SECRET)
    service.env = {"PGRST_DB_SCHEMAS": "api"}
    with service.running():
        yield f"http://127.0.0.1:{port}/rpc"


def test_the_rpcs_answer_there_as_in_public(db: Database, url: str) -> None:
    favourite, other, customer = db.make_mechanic(), db.make_mechanic(), db.make_customer()
    request = str(db.make_request(customer, favourite))

    def call(function: str, user: object, **arguments: Any) -> httpx.Response:
        token = sign("authenticated", str(user), secret=SECRET)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{url}/{function}", json=arguments, headers=headers)

    assert call("list_open_session_requests", other).json() == []
    (listed,) = call("list_open_session_requests", favourite).json()
    assert listed["request_id"] == request
    refused = call("accept_session_request", other, request_id=request)
    assert (refused.status_code, refused.json()["details"]) == (404, "request_not_found")
    assert call("decline_session_request", favourite, request_id=request, reason="no").is_success
    accepted = call("accept_session_request", other, request_id=request)
    assert accepted.json()["mechanic_id"] == str(other)
    assert call("set_presence", other, status="online").is_success
    assert call("prepare_checkout", customer, plan_code="quick-chat").json()["plan"]
    assert call("claim_pushes", customer).status_code == 403
    assert httpx.post(f"{url}/list_open_session_requests", json={}).status_code == 401


def test_each_rpc_is_there_for_whom_it_is_in_public(db: Database, url: str) -> None:
    who = """
        select p.proname, p.provolatile, pg_get_function_arguments(p.oid), array(
            select r from unnest(array['anon', 'authenticated', 'service_role', 'webhook_app']) as r
            where has_function_privilege(r, p.oid, 'execute')
        ) as callers
        from pg_proc as p where p.pronamespace = %s::regnamespace and p.prosrc ~ %s order by 1
    """
    ours = db.sql(who, "public", r"\mdispatch\.")
    for each in ours:
        # A role of its own calls ours by name, not through the API.
        each["callers"] = [role for role in each["callers"] if role != "webhook_app"]
    assert len(ours) == 29 and db.sql(who, "api", r"\mpublic\.") == ours
