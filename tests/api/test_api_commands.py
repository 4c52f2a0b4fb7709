"""`make up`, `down`, `verify` and `clean` in a checkout of their own, and `make demo`."""

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from stack import ROOT
from stack.clients import paid_checkout
from stack.services import load_secrets
from tests.api.world import World
from tests.database import eventually

NAMES = {
    "DATABASE_URL",
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "JWT_SECRET",
    "WEBHOOK_URL",
    "DASHBOARD_URL",
    "HUB_URL",
    "STRIPE_WEBHOOK_SECRET",
    "VAPID_PUBLIC_KEY",
    "VAPID_PRIVATE_KEY",
}

NOT_PASSED_ON = {"DATABASE_URL", "NO_PROXY", "no_proxy"}
NOWHERE = "http://127.0.0.1:9"


class Checkout:
    """A copy of this one, with what is installed behind links."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in (
            "examples",
            "functions",
            "hub_app",
            "push_app",
            "sql",
            "stack",
            "supabase",
            "app_base",
            "webhook_app",
        ):
            ignored = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(ROOT / name, path / name, ignore=ignored)
        for name in ("Makefile", "requirements.lock"):
            shutil.copy2(ROOT / name, path / name)
        (path / ".venv").symlink_to(ROOT / ".venv")
        (path / "stack/node_modules").symlink_to(ROOT / "stack/node_modules")

    def make(self, target: str, status: int = 0) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in NOT_PASSED_ON}
        # As where all that is not here goes through a proxy.
        environment |= {"http_proxy": NOWHERE, "HTTP_PROXY": NOWHERE}
        # What is installed is taken as it is, even if a copied file looks newer.
        result = subprocess.run(
            ["make", "--no-print-directory", "-o", ".venv/.ready", target],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    @property
    def local(self) -> Path:
        return self.path / ".local"

    def env(self) -> dict[str, str]:
        lines = (self.local / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path / "a clone's place")
    yield checkout
    checkout.make("clean")


def test_secrets_of_an_older_stack_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = load_secrets(path)
    older = {name: each for name, each in made.items() if not name.startswith("VAPID")}
    path.write_text(json.dumps(older))
    now = load_secrets(path)
    assert now.keys() == made.keys() and now == now | older
    assert load_secrets(path) == now


def test_up_and_down(checkout: Checkout) -> None:
    assert "was not running" in checkout.make("down")
    assert "make up" in checkout.make("verify", status=2)

    said = checkout.make("up")
    env = checkout.env()
    assert set(env) == NAMES
    for name in ("DATABASE_URL", "SUPABASE_URL", "WEBHOOK_URL", "DASHBOARD_URL"):
        assert env[name] in said
    for name in (
        "SUPABASE_SERVICE_ROLE_KEY",
        "JWT_SECRET",
        "STRIPE_WEBHOOK_SECRET",
        "VAPID_PRIVATE_KEY",
    ):
        assert env[name] not in said
    for file in ("env", "people.json", "secrets.json"):
        assert stat.S_IMODE((checkout.local / file).stat().st_mode) == 0o600, file
    assert "up already" in checkout.make("up")
    assert checkout.env() == env

    assert httpx.get(f"{env['WEBHOOK_URL']}/healthz").status_code == 200
    for header in ({"apikey": env["SUPABASE_ANON_KEY"]}, {}):
        plans = httpx.get(f"{env['SUPABASE_URL']}/rest/v1/service_plans", headers=header)
        assert plans.status_code == 200
    with psycopg.connect(env["DATABASE_URL"]) as owner:
        role = owner.execute(
            "select rolname, rolsuper, has_table_privilege('auth.users', 'insert')"
            " from pg_roles where rolname = current_user"
        ).fetchone()
        assert role == ("postgres", False, True)
        enabled = owner.execute("select dispatch.favorites_priority_enabled()").fetchone()
        assert enabled == (False,)
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as owner:
        sender = "select from pg_stat_activity where usename = 'push_app'"
        eventually(lambda: owner.execute(sender).rowcount)
    assert httpx.get(env["HUB_URL"]).json()["details"] == "not_signed_in"
    config = httpx.get(f"{env['DASHBOARD_URL']}/config.js").text
    assert env["VAPID_PUBLIC_KEY"] in config and env["VAPID_PRIVATE_KEY"] not in config

    people = httpx.get(f"{env['DASHBOARD_URL']}/sign-in/people.json").json()
    assert {"Carla", "Frank"} <= {person["name"] for person in people}
    said = checkout.make("dashboard")
    assert f"Open {env['DASHBOARD_URL']}" in said
    with psycopg.connect(env["DATABASE_URL"]) as owner:
        enabled = owner.execute("select dispatch.favorites_priority_enabled()").fetchone()
        assert enabled == (True,)

    with World(env) as world:
        carla, frank = world.customer(), world.mechanic()
        event = paid_checkout(world.metadata(carla, frank))
        request_id = world.deliver(event)
    assert "The stack is down." in checkout.make("down")
    assert not (checkout.local / "env").exists()
    with pytest.raises(httpx.TransportError):
        httpx.get(env["SUPABASE_URL"])
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(env["DATABASE_URL"])

    checkout.make("up")
    again = checkout.env()
    kept = NAMES - {"DATABASE_URL", "SUPABASE_URL", "WEBHOOK_URL", "DASHBOARD_URL", "HUB_URL"}
    assert {name: again[name] for name in kept} == {name: env[name] for name in kept}
    with World(again) as world:
        frank = world.person(frank.id)  # its port may be another
        assert frank.may_take(request_id)
        assert world.is_whole([event])
    checkout.make("verify")

    data = (checkout.local / "postgres").resolve()
    assert data.exists()
    checkout.make("clean")
    assert not checkout.local.exists() and not data.exists()


@pytest.mark.late
def test_demo(demo: tuple[subprocess.Popen[str], Path]) -> None:
    process, output = demo
    status = process.wait(150)
    said = output.read_text()
    assert status == 0, said
    (verdict,) = re.findall(r"^\d+ statements, all hold", said, re.MULTILINE)
    assert "✗" not in said and "\033" not in said
    assert f"\n{verdict}\n" in (ROOT / "README.md").read_text()
