"""Where PostgREST shows clients another schema than public."""

import re
import subprocess
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

FUNCTIONS = """
    select p.proname, p.provolatile, pg_get_function_arguments(p.oid), array(
        select r from unnest(array['anon', 'authenticated', 'service_role']) as r
        where has_function_privilege(r, p.oid, 'execute')
    ) as callers
    from pg_proc as p where p.pronamespace = %s::regnamespace and p.prosrc ~ %s order by 1
"""


def make_schema(db: Database) -> None:
    db.sql("create schema api; grant usage on schema api to anon, authenticated, service_role")


def show_in(db: Database, schema: str) -> str:
    return run_psql(db.dsn(), "-v", f"schema={schema}", "-f", str(ROOT / "sql/api_schema.sql"))


def is_as_in_public(db: Database, schema: str = "api") -> bool:
    ours = db.sql(FUNCTIONS, "public", r"\mdispatch\.")
    return len(ours) == 29 and db.sql(FUNCTIONS, schema, r"\mpublic\.") == ours


def verified(db: Database) -> tuple[int, str]:
    file = str(ROOT / "sql/favorites_priority/verify.sql")
    command = ["psql", "-X", "-q", "-d", db.dsn(), "-f", file]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode, re.sub(r"\.\n +\| +\|\.", "", result.stdout)  # unfolded


@pytest.fixture
def url(db: Database, tmp_path: Path) -> Iterator[str]:
    make_schema(db)
    for _ in range(2):
        show_in(db, "api")
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


def test_each_rpc_is_there_for_whom_it_is_in_public(db: Database) -> None:
    make_schema(db)
    db.sql("""
        create function public.follow() returns trigger language plpgsql
        as 'begin perform dispatch.favorites_priority_enabled(); return new; end';
        revoke execute on function public.set_presence(text) from authenticated
    """)
    show_in(db, "api")
    assert db.value("select to_regproc('api.follow') is null")
    db.sql("drop function public.follow()")
    assert is_as_in_public(db)


def test_after_an_upgrade_none_is_left_of_the_older_version(db: Database) -> None:
    make_schema(db)
    db.sql('create schema "Shown ones"')
    show_in(db, "api")
    command = ["psql", "-X", "-v", "schema=Shown ones", "-d", db.dsn()]
    said = subprocess.check_output([*command, "-f", str(ROOT / "sql/api_schema.sql")], text=True)
    assert said == "The RPCs are in the schema Shown ones too.\n"
    status, table = verified(db)
    assert status == 0 and "in Shown ones, api, as in public" in table
    db.sql("""
        drop function api.set_presence(text), api.unblock_mechanic(uuid),
            api.block_customer(uuid), api.list_favorite_mechanics();
        create function api.set_presence(state text) returns text language sql
        as $$ select public.set_presence(state) -- sql/api_schema.sql$$;
        create function api.block_customer(customer uuid, note text) returns int language sql
        as $$ select 1 -- sql/api_schema.sql$$;
        create function api.gone() returns int language sql
        as $$ select 1 -- sql/api_schema.sql$$;
        grant execute on function api.request_free_session to anon
    """)
    status, table = verified(db)
    assert status == 3
    assert (
        "in api not as in public: block_customer, gone, list_favorite_mechanics,"
        " request_free_session, set_presence, unblock_mechanic"
        " (run sql/api_schema.sql, -v schema=api)"
    ) in table
    show_in(db, "api")
    assert is_as_in_public(db)
    assert verified(db)[0] == 0


def test_what_is_theirs_there_is_not_replaced(db: Database) -> None:
    make_schema(db)
    db.sql("create function api.set_presence(status text) returns text return 'mine'")
    with pytest.raises(RuntimeError, match='"set_presence" already exists'):
        show_in(db, "api")
    assert db.sql(FUNCTIONS, "api", r"\mpublic\.") == []
    assert db.value("select api.set_presence('')") == "mine"
    # One that only names the script is nobody's copy.
    db.sql("alter function api.set_presence(text) rename to about")
    db.sql(
        "create function api.help() returns text language sql as $$"
        "select 'made anew by sql/api_schema.sql after an upgrade' $$"
    )
    for _ in range(2):
        show_in(db, "api")
    assert verified(db)[0] == 0
    for layer in ("favorites_priority", "engine"):
        run_psql(db.dsn(), "-v", "confirm=down", "-f", str(ROOT / f"sql/{layer}/down.sql"))
    assert db.value(
        "select array_agg(p.proname order by 1) from pg_proc as p"
        " where p.pronamespace = 'api'::regnamespace"
    ) == ["about", "help"]


@pytest.mark.parametrize("schema", ["nowhere", "public", ""])
def test_a_schema_that_it_cannot_be_is_refused(db: Database, schema: str) -> None:
    with pytest.raises(RuntimeError, match="is no schema that the RPCs"):
        show_in(db, schema)


def test_they_go_with_the_engine(db: Database) -> None:
    make_schema(db)
    show_in(db, "api")
    for layer in ("favorites_priority", "engine"):
        run_psql(db.dsn(), "-v", "confirm=down", "-f", str(ROOT / f"sql/{layer}/down.sql"))
    assert db.sql(FUNCTIONS, "api", ".") == []


def test_those_of_another_role_are_told_by_whom(db: Database) -> None:
    make_schema(db)
    show_in(db, "api")
    run_psql(db.dsn(), "-v", "confirm=down", "-f", str(ROOT / "sql/favorites_priority/down.sql"))
    with db.superuser() as superuser:
        superuser.execute("alter function api.set_presence owner to supabase_auth_admin")
    told = "the RPCs in the schema api belong to supabase_auth_admin, and nothing was changed"
    with pytest.raises(RuntimeError, match=told):
        show_in(db, "api")
    with pytest.raises(RuntimeError, match=told):
        run_psql(db.dsn(), "-v", "confirm=down", "-f", str(ROOT / "sql/engine/down.sql"))
