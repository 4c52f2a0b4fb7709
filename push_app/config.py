"""The sender's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict
from py_vapid import Vapid02

from .keys import KeyFault, read_key


class ConfigError(Exception):
    """The environment is incomplete or wrong; the text names every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  - ".join(["The push app cannot start:", *problems]))


@dataclass(frozen=True)
class Config:
    # Kept out of the repr: these carry secrets.
    database_url: str = field(repr=False)
    signer: Vapid02 = field(repr=False)
    subject: str
    # At the tenth of a second that a push service takes to answer, a thousand a second.
    concurrency: int = 128
    timeout: int = 10

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Config":
        problems: list[str] = []

        def text(name: str) -> str:
            return environ.get(name, "").strip()

        def whole_number(name: str, default: int, most: int) -> int:
            value = text(name) or str(default)
            if re.fullmatch(r"[0-9]{1,4}", value) and 1 <= int(value) <= most:
                return int(value)
            problems.append(f"{name} must be a whole number from 1 to {most}.")
            return default

        url = text("DATABASE_URL")
        if not url:
            problems.append("DATABASE_URL is not set: give it postgresql://push_app:…@host/db.")
        else:
            try:
                conninfo_to_dict(url)
            except psycopg.ProgrammingError as error:
                problems.append(f"DATABASE_URL is not a connection string: {error}".rstrip())

        signer = None
        if not text("VAPID_PRIVATE_KEY"):
            problems.append("VAPID_PRIVATE_KEY is not set: `python -m push_app keys` makes a pair.")
        else:
            try:
                signer = read_key(text("VAPID_PRIVATE_KEY"))
            except KeyFault:
                problems.append(
                    "VAPID_PRIVATE_KEY is not a private key of P-256 in base64url: take the one "
                    "that `python -m push_app keys` printed."
                )

        subject = text("VAPID_SUBJECT")
        if not re.fullmatch(r"mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*", subject):
            problems.append(
                "VAPID_SUBJECT must be a mailto: or https: address at which the push services "
                "reach you."
            )

        concurrency = whole_number("PUSH_CONCURRENCY", cls.concurrency, 1000)
        timeout = whole_number("PUSH_TIMEOUT", cls.timeout, 20)
        if problems or signer is None:
            raise ConfigError(problems)
        return cls(url, signer, subject, concurrency, timeout)
