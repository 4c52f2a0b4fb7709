"""The app's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict


class ConfigError(Exception):
    """The environment is incomplete or wrong; the text names every problem at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  - ".join(["The webhook app cannot start:", *problems]))


@dataclass(frozen=True)
class Config:
    # Kept out of the repr: these carry secrets.
    database_url: str = field(repr=False)
    stripe_secrets: tuple[str, ...] = field(repr=False)
    pool_size: int = 4
    db_timeout: int = 5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Config":
        problems: list[str] = []

        def whole_number(name: str, default: int, most: int) -> int:
            text = environ.get(name, "").strip() or str(default)
            if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= most:
                return int(text)
            problems.append(f"{name} must be a whole number from 1 to {most}.")
            return default

        url = environ.get("DATABASE_URL", "").strip()
        if not url:
            problems.append(
                "DATABASE_URL is missing: the database, as postgresql://user@host/name."
            )
        elif not _is_conninfo(url):
            problems.append("DATABASE_URL is no PostgreSQL address: postgresql://user@host/name.")

        # Several secrets, so that one can be rotated while both still sign.
        given = environ.get("STRIPE_WEBHOOK_SECRET", "").split(",")
        secrets = tuple(secret for secret in map(str.strip, given) if secret)
        if not secrets:
            problems.append(
                "STRIPE_WEBHOOK_SECRET is missing: the endpoint's signing secret (whsec_…) from"
                " Stripe's dashboard; several are separated by commas."
            )
        for number, secret in enumerate(secrets, start=1):
            if not re.fullmatch(r"whsec_\S+", secret):
                problems.append(f"STRIPE_WEBHOOK_SECRET: entry {number} must start with whsec_.")

        pool_size = whole_number("WEBHOOK_POOL_SIZE", default=4, most=100)
        db_timeout = whole_number("WEBHOOK_DB_TIMEOUT", default=5, most=60)
        if problems:
            raise ConfigError(problems)
        return cls(url, secrets, pool_size, db_timeout)


def _is_conninfo(text: str) -> bool:
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError:  # its message may show the password: not passed on
        return False
    return True
