"""The sender's settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from py_vapid import Vapid02

from app_base.settings import ConfigError, Settings

from .keys import KeyFault, read_key


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
        given = Settings(environ)
        problems, text = given.problems, given.text
        url = given.database_url("push_app")

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

        concurrency = given.whole_number("PUSH_CONCURRENCY", cls.concurrency, 1000)
        timeout = given.whole_number("PUSH_TIMEOUT", cls.timeout, 20)
        if problems or signer is None:
            raise ConfigError("The push app", problems)
        return cls(url, signer, subject, concurrency, timeout)
