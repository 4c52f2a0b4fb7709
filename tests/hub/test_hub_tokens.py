"""Who is let in: whoever PostgREST would let call the catch-up, by the same settings."""

import base64
import hmac
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app_base.settings import ConfigError
from hub_app.config import Config as HubConfig
from hub_app.tokens import KeyFault, TokenFault, Tokens
from stack.network import free_ports
from stack.services import postgrest
from tests.database import Database
from tests.hub.listening import SECRET, Client, Hub, running

OLD_KEY, NEW_KEY, FOREIGN_KEY = SECRET, ec.generate_private_key(ec.SECP256R1()), "f" * 40
KEYS = json.dumps(
    {
        "keys": [
            {
                "kty": "oct",
                "alg": "HS256",
                "kid": "old",
                "k": base64.urlsafe_b64encode(OLD_KEY.encode()).rstrip(b"=").decode(),
            },
            json.loads(jwt.algorithms.ECAlgorithm.to_jwk(NEW_KEY.public_key()))
            | {"alg": "ES256", "kid": "new"},
        ]
    }
)
SETTINGS = {"PGRST_JWT_SECRET": KEYS, "PGRST_JWT_AUD": "authenticated"}


def signed(
    key: Any = OLD_KEY, algorithm: str = "HS256", kid: str | None = None, **claims: object
) -> str:
    now = int(time.time())
    usual = {"role": "authenticated", "aud": "authenticated", "iat": now, "exp": now + 600}
    given = {name: each for name, each in (usual | claims).items() if each is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": kid} if kid else None)


def unsigned(token: str, algorithm: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    return f"{header.rstrip(b'=').decode()}.{token.split('.')[1]}."


def by_public_key(token: str) -> str:
    """What a verifier would take that lets the token choose between a secret and a public key."""
    header = base64.urlsafe_b64encode(b'{"alg": "HS256", "kid": "new"}').rstrip(b"=").decode()
    text = f"{header}.{token.split('.')[1]}"
    public = NEW_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(public, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def now(seconds: int) -> int:
    return int(time.time()) + seconds


# What to sign, given a user; and whether it lets them listen.
TOKENS: dict[str, tuple[Callable[[str], str | None], bool]] = {
    "as Supabase signs it": (lambda user: signed(sub=user), True),
    "by the first key": (lambda user: signed(sub=user, kid="old"), True),
    "by the second key": (lambda user: signed(NEW_KEY, "ES256", "new", sub=user), True),
    "by the second key, unnamed": (lambda user: signed(NEW_KEY, "ES256", sub=user), True),
    "without an end": (lambda user: signed(sub=user, exp=None), True),
    "until a year of 400 digits": (lambda user: signed(sub=user, exp=10**400), True),
    "expired within the leeway": (lambda user: signed(sub=user, exp=now(-10)), True),
    "of clocks that differ": (lambda user: signed(sub=user, iat=now(20), nbf=now(20)), True),
    "for nobody in particular": (lambda user: signed(sub=user, aud=None), True),
    "for several": (lambda user: signed(sub=user, aud=["x", "authenticated"]), True),
    "none": (lambda user: None, False),
    "empty": (lambda user: "", False),
    "no token": (lambda user: "eyJhbGciOiJIUzI1NiJ9.e30", False),
    "foreign": (lambda user: signed(FOREIGN_KEY, sub=user), False),
    "another's signature": (
        lambda user: (
            signed(sub=user).rpartition(".")[0]
            + "."
            + signed(sub=str(uuid.uuid4())).rpartition(".")[2]
        ),
        False,
    ),
    "alg none": (lambda user: unsigned(signed(sub=user), "none"), False),
    "no signature": (lambda user: unsigned(signed(sub=user), "HS256"), False),
    "by the public key as a secret": (lambda user: by_public_key(signed(sub=user)), False),
    "expired": (lambda user: signed(sub=user, exp=now(-60)), False),
    "not yet": (lambda user: signed(sub=user, nbf=now(300)), False),
    "issued later": (lambda user: signed(sub=user, iat=now(300)), False),
    "for others": (lambda user: signed(sub=user, aud="others"), False),
    "anon": (lambda user: signed(sub=user, role="anon"), False),
    "service_role": (lambda user: signed(sub=user, role="service_role"), False),
    "no role": (lambda user: signed(sub=user, role=None), False),
    "unknown role": (lambda user: signed(sub=user, role="nobody"), False),
    "no user": (lambda user: signed(), False),
    "a user that is no uuid": (lambda user: signed(sub="user_2abc"), False),
}


@pytest.fixture(scope="module")
def keyed_hub(_heard: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running(_heard, tmp_path_factory.mktemp("keyed"), **SETTINGS) as hub:
        yield hub


@pytest.fixture(scope="module")
def api(_heard: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = free_ports(0)
    directory = tmp_path_factory.mktemp("postgrest")
    service = postgrest(directory, _heard.dsn("authenticator"), port, "replaced by its variable")
    service.env = SETTINGS
    with service.running():
        yield f"http://127.0.0.1:{port}/rpc/list_session_request_events"


def status(api: str, token: str | None) -> int:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(urllib.request.Request(api, b"{}", headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_lets_in_whom_postgrest_lets_catch_up(db: Database, keyed_hub: Hub, api: str) -> None:
    user = db.make_customer()
    found: dict[str, tuple[bool, bool]] = {}
    refusals = {}
    for name, (make, _) in TOKENS.items():
        token = make(user)
        with Client(keyed_hub.port, token) as client:
            found[name] = (client.status == 200, status(api, token) == 200)
            if client.status != 200:
                refusals[name] = (client.status, client.body["details"])
                assert client.body["hint"] and client.body["message"]
    assert found == {name: (is_good, is_good) for name, (_, is_good) in TOKENS.items()}
    odd = refusals.pop("a user that is no uuid")
    assert odd == (400, "not_signed_in")
    assert set(refusals.values()) == {(401, "not_signed_in")}


def test_what_is_no_text_is_refused(hub: Hub) -> None:
    # PostgREST cannot be asked: it would never get a claim like this to the database.
    odd = signed(sub=str(uuid.uuid4()), note="\0")
    for given, refused in ((b"\xff.a.b", 401), (odd.encode(), 400)):
        with socket.create_connection(("127.0.0.1", hub.port), timeout=60) as client:
            client.sendall(
                b"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + given + b"\r\n\r\n"
            )
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == refused, head
        assert json.loads(body)["details"] == "not_signed_in"


@pytest.mark.parametrize(
    "request_of",
    [
        lambda token: b"GET /events HTTP/1.1\r\nAuthorization: Bearer " + token + b"\1\r\n\r\n",
        lambda token: b"GET /events?token=" + token + b"\xff HTTP/1.1\r\n\r\n",
    ],
    ids=["header", "address"],
)
def test_a_token_in_what_is_no_request_is_in_no_log(
    hub: Hub, request_of: Callable[[bytes], bytes]
) -> None:
    token = signed(sub=str(uuid.uuid4())).encode()
    with socket.create_connection(("127.0.0.1", hub.port), timeout=60) as client:
        client.sendall(request_of(token))
        assert client.recv(65536).split()[1] == b"400"
    assert token.decode() not in hub.output.read_text()


def test_a_token_in_the_url_is_none(db: Database, hub: Hub) -> None:
    """It would be in every log between."""
    for name in ("token", "access_token", "apikey", "jwt"):
        url = f"http://127.0.0.1:{hub.port}/events?{name}={signed(sub=db.make_customer())}"
        assert status(url, None) == 405  # a POST
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url)


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "1 or 1"])
def test_a_cursor_that_is_none_is_refused(db: Database, hub: Hub, cursor: str) -> None:
    with Client(hub.port, signed(sub=db.make_customer()), cursor) as client:
        assert (client.status, client.body["details"]) == (400, "invalid_event")


def test_any_page_may_ask_or_those_that_are_named(db: Database, hub: Hub, tmp_path: Path) -> None:
    user = db.make_customer()

    def allowed(port: int, origin: str) -> tuple[str | None, str | None]:
        preflight = urllib.request.Request(
            f"http://127.0.0.1:{port}/events", headers={"Origin": origin}, method="OPTIONS"
        )
        with urllib.request.urlopen(preflight) as answer:
            assert answer.status == 204
            headers = answer.headers["Access-Control-Allow-Headers"].split(", ")
            assert {"authorization", "last-event-id"} <= set(headers)
            first = answer.headers["Access-Control-Allow-Origin"]
        with Client(port, signed(sub=user), Origin=origin) as client:
            found = client.response.headers["Access-Control-Allow-Origin"]
        with Client(port, None, Origin=origin) as client:  # a page may read why not
            assert client.response.headers["Access-Control-Allow-Origin"] == found
        return first, found

    assert allowed(hub.port, "https://any.example") == ("*", "*")
    mine = "https://app.example.com"
    phones = "capacitor://localhost"
    with running(db, tmp_path, HUB_ORIGINS=f"{mine},http://localhost:3000,{phones}") as strict:
        for origin in (mine, phones):
            assert allowed(strict.port, origin) == (origin, origin)
        assert allowed(strict.port, "https://evil.example") == (None, None)


def test_each_of_postgrest_s_ways_to_give_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEYS + "\n")
    single = json.loads(KEYS)["keys"][0]
    plain = base64.b64encode(SECRET.encode()).decode()
    for secret, is_base64 in (
        (SECRET, False),
        (plain, True),
        (base64.urlsafe_b64encode(SECRET.encode()).decode(), True),
        (json.dumps(single), False),
        (f"@{file}", False),
    ):
        tokens = Tokens(secret, is_base64=is_base64, audience="", role_path=".role")
        token = tokens.check(signed(sub="x", aud="any"))
        assert (token.role, json.loads(token.claims)["sub"]) == ("authenticated", "x")
        with pytest.raises(TokenFault):
            tokens.check(signed(FOREIGN_KEY, sub="x"))


@pytest.mark.parametrize(
    "secret",
    [
        '{"keys": [{"kty": "oct"}]}',
        json.dumps(json.loads(KEYS)["keys"][0] | {"alg": "none"}),
        "[" * 3000,
        "@the bytes",
        "@with\0in",
    ],
)
def test_a_secret_that_is_none_is_told(tmp_path: Path, secret: str) -> None:
    (tmp_path / "the bytes").write_bytes(b"\xff" * 40)
    with pytest.raises(KeyFault, match="PGRST_JWT_SECRET"):
        Tokens(secret.replace("@", f"@{tmp_path}/"), is_base64=True, audience="", role_path=".role")


def test_the_role_is_where_postgrest_looks_for_it() -> None:
    claims: dict[str, Any] = {"https://my.app/role": "one", "realm": {"roles": ["two", 3]}}
    for path, role in (
        ('."https://my.app/role"', "one"),
        (".realm.roles[0]", "two"),
        (".realm.roles[1]", None),
        (".realm.roles[7]", None),
        (".realm.none.deeper", None),
    ):
        tokens = Tokens(SECRET, is_base64=False, audience="", role_path=path)
        assert tokens.check(signed(**claims)).role == role
    with pytest.raises(KeyFault, match="PGRST_JWT_ROLE_CLAIM_KEY"):
        Tokens(SECRET, is_base64=False, audience="", role_path='.roles[?(@ == "x")]')


def test_a_wrong_environment_is_told_at_once(tmp_path: Path) -> None:
    wrong = {
        "DATABASE_URL": "mysql=x secret",
        "PGRST_JWT_SECRET": "short",
        "HUB_PORT": "0",
        "HUB_MAX_CLIENTS": "many",
        "HUB_ORIGINS": "app.example.com",
    }
    for given in (wrong, dict.fromkeys(wrong, "") | {"PGRST_JWT_SECRET": f"@{tmp_path}/none"}):
        done = subprocess.run(
            [sys.executable, "-m", "hub_app"],
            env=os.environ | given,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
        assert "secret" not in done.stderr and "short" not in done.stderr
        for name in wrong if given is wrong else ("DATABASE_URL", "PGRST_JWT_SECRET"):
            assert name in done.stderr


@pytest.mark.parametrize(
    "origin",
    [
        "https://App.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com/",
        "https://*.example.com",
        "https://münchen.example",
    ],
)
def test_an_origin_that_no_browser_sends_so_is_told(origin: str) -> None:
    environ = {"DATABASE_URL": "postgresql://hub_app@db/postgres", "PGRST_JWT_SECRET": SECRET}
    for named in ("https://app.example.com", "http://[::1]:8080", "https://a.example:80", "*"):
        assert named in HubConfig.from_environ(environ | {"HUB_ORIGINS": named}).origins
    with pytest.raises(ConfigError, match=re.escape(f"HUB_ORIGINS: {origin} ")):
        HubConfig.from_environ(environ | {"HUB_ORIGINS": f"https://app.example.com,{origin}"})


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "127.0.0.1"])
def test_where_it_cannot_listen_is_told(hub: Hub, host: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hub_app"],
        env=os.environ
        | {
            "DATABASE_URL": "postgresql://hub_app@127.0.0.1:1/postgres",
            "PGRST_JWT_SECRET": SECRET,
            "HUB_HOST": host,
            "HUB_PORT": str(hub.port),  # taken
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert "HUB_HOST" in done.stderr and host in done.stderr
