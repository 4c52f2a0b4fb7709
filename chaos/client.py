"""A person's app: calls over HTTP, each answer recorded."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from chaos.record import LOST, OK, Answer
from stack.clients import Env
from stack.tokens import sign

TIMEOUT = 20


class Client:
    """A token over HTTP; `keep` gets what it was answered. One thread's only."""

    def __init__(
        self, env: Env, keep: Callable[[Answer], None], user: str, role: str = "authenticated"
    ) -> None:
        self.keep, self.user = keep, user
        token = sign(role, user or None, secret=env["JWT_SECRET"], seconds=24 * 3600)
        self.http = httpx.Client(
            base_url=f"{env['SUPABASE_URL']}/rest/v1",
            headers={
                "apikey": env["SUPABASE_ANON_KEY"],
                "Authorization": f"Bearer {token}",
                "Prefer": "return=representation",
            },
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self.http.close()

    def rpc(self, action: str, function: str, **arguments: object) -> Any:
        """The answer; None: there was none, or it was refused."""
        return self.ask(action, "POST", f"/rpc/{function}", json=arguments)

    def ask(self, action: str, method: str, path: str, **options: Any) -> Any:
        began, data, trouble = time.time(), None, ""
        try:
            response = self.http.request(method, path, **options)
        except httpx.TransportError as error:
            outcome, trouble = LOST, type(error).__name__
        else:
            outcome, trouble = outcome_of(response)
            data = response.json() if outcome == OK else None
        rows = data if isinstance(data, list) else []
        shown = {row.get("request_id") or row.get("id") for row in rows}
        self.keep(
            Answer(
                self.user,
                action,
                outcome,
                began,
                time.time(),
                (options.get("json") or {}).get("request_id"),
                frozenset(shown - {None}),
                trouble,
            )
        )
        return data


def outcome_of(response: httpx.Response) -> tuple[str, str]:
    """As in Answer: the outcome, and what the trouble was."""
    if response.is_success:
        return OK, ""
    if response.headers["content-type"].startswith("text/html"):  # nginx's: nobody behind it
        return LOST, str(response.status_code)
    error = response.json()
    code = error.get("code") or ""
    if code.startswith("PT"):
        return str(error["details"]), ""
    if is_trouble(code):
        return LOST, code
    return f"{response.status_code} {response.text}", ""


def is_trouble(code: str) -> bool:
    """What a client may be told while the server is in trouble: ask again."""
    return code in {
        "",  # PostgREST's, when its connection breaks off
        "40P01",  # a deadlock was ended
        "55P03",  # waited too long for a lock
        "57014",  # took too long
        "PGRST000",  # no connection
        "PGRST001",
        "PGRST002",  # the schema is not read yet
        "PGRST003",  # no connection of the pool came free
    } or code.startswith(("08", "53", "57P"))  # lost; no resources; shutdown or crash
