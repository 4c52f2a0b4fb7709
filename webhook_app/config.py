"""The app's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from app_base.settings import ConfigError, Settings


@dataclass(frozen=True)
class Config:
    # Kept out of the repr: these carry secrets.
    database_url: str = field(repr=False)
    stripe_secrets: tuple[str, ...] = field(repr=False)
    pool_size: int = 4
    db_timeout: int = 5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Config":
        settings = Settings(environ)
        problems = settings.problems
        url = settings.database_url("webhook_app")

        # Several secrets, so that one can be rotated while both still sign.
        given = settings.text("STRIPE_WEBHOOK_SECRET").split(",")
        secrets = tuple(secret for secret in map(str.strip, given) if secret)
        if not secrets:
            problems.append(
                "STRIPE_WEBHOOK_SECRET is missing: the endpoint's signing secret (whsec_…) from"
                " Stripe's dashboard; several are separated by commas."
            )
        for number, secret in enumerate(secrets, start=1):
            if not re.fullmatch(r"whsec_\S+", secret):
                problems.append(f"STRIPE_WEBHOOK_SECRET: entry {number} must start with whsec_.")

        pool_size = settings.whole_number("WEBHOOK_POOL_SIZE", default=4, most=100)
        db_timeout = settings.whole_number("WEBHOOK_DB_TIMEOUT", default=5, most=60)
        if problems:
            raise ConfigError("The webhook app", problems)
        return cls(url, secrets, pool_size, db_timeout)
