"""The hub's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .tokens import KeyFault, Tokens


class ConfigError(Exception):
    """The environment is incomplete or wrong; the text names every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  - ".join(["The hub cannot start:", *problems]))


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
        problems: list[str] = []

        def text(name: str) -> str:
            return environ.get(name, "").strip()

        def whole_number(name: str, default: int, most: int) -> int:
            value = text(name) or str(default)
            if re.fullmatch(r"[0-9]{1,6}", value) and 1 <= int(value) <= most:
                return int(value)
            problems.append(f"{name} must be a whole number from 1 to {most}.")
            return default

        url = text("DATABASE_URL")
        if not url:
            problems.append("DATABASE_URL is not set: give it postgresql://hub_app:…@host/db.")
        else:
            try:
                conninfo_to_dict(url)
            except psycopg.ProgrammingError:  # its message may show the password: not passed on
                problems.append("DATABASE_URL is no PostgreSQL address: postgresql://user@host/db.")

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
            if not re.fullmatch(r"https?://[^/\s]+", origin):
                problems.append(f"HUB_ORIGINS: {origin} is no origin, as https://app.example.com.")
        port = whole_number("HUB_PORT", cls.port, 65_535)
        most_clients = whole_number("HUB_MAX_CLIENTS", cls.most_clients, 100_000)
        if problems or tokens is None:
            raise ConfigError(problems)
        return cls(url, tokens, text("HUB_HOST") or cls.host, port, origins, most_clients)
