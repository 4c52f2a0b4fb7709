"""The hub's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from app_base.settings import ConfigError, Settings

from .tokens import KeyFault, Tokens


@dataclass(frozen=True)
class Config:
    # Kept out of the repr: these carry secrets.
    database_url: str = field(repr=False)
    tokens: Tokens = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8090
    # A token is no cookie, which a browser would send by itself: any page may ask.
    origins: frozenset[str] = frozenset({"*"})
    most_clients: int = 15_000

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Config":
        given = Settings(environ)
        problems, text = given.problems, given.text
        url = given.database_url("hub_app")

        tokens = None
        try:
            # PostgREST's names, so that both can read one file.
            tokens = Tokens(
                text("PGRST_JWT_SECRET"),
                is_base64=text("PGRST_JWT_SECRET_IS_BASE64").lower() in ("true", "1", "yes", "on"),
                audience=text("PGRST_JWT_AUD"),
                role_path=text("PGRST_JWT_ROLE_CLAIM_KEY") or ".role",
            )
        except KeyFault as fault:
            problems.append(str(fault))

        origins = frozenset((text("HUB_ORIGINS") or "*").replace(",", " ").split())
        for origin in sorted(origins - {"*"}):
            # As browsers send it, or it is never let in. (A phone's app in a web view has a scheme
            # of its own, as capacitor://localhost.)
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+", origin) or re.fullmatch(
                r"http:.*:80|https:.*:443", origin
            ):
                problems.append(
                    f"HUB_ORIGINS: {origin} is no origin as browsers send it, in small letters and"
                    " without the usual port: https://app.example.com."
                )
        port = given.whole_number("HUB_PORT", cls.port, 65_535)
        most_clients = given.whole_number("HUB_MAX_CLIENTS", cls.most_clients, 100_000)
        if problems or tokens is None:
            raise ConfigError("The hub", problems)
        return cls(url, tokens, text("HUB_HOST") or cls.host, port, origins, most_clients)
