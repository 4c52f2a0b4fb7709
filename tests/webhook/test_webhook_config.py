"""The settings: all problems at once, in words, without the secrets."""

import pytest

from app_base.settings import ConfigError
from webhook_app.config import Config

GOOD = {"DATABASE_URL": "postgresql://app:hunter2@db/name", "STRIPE_WEBHOOK_SECRET": "whsec_a"}


def test_defaults_and_rotation() -> None:
    config = Config.from_environ(GOOD | {"STRIPE_WEBHOOK_SECRET": " whsec_a ,whsec_b,\n"})
    assert config.stripe_secrets == ("whsec_a", "whsec_b")
    assert (config.pool_size, config.db_timeout) == (4, 5)
    assert "hunter2" not in repr(config) and "whsec_" not in repr(config)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:p%40ss%2Fword@db/name",
        "postgresql://app@[::1]:5432/name",
        "postgresql://app@one:5432,two:5433/name",
        "host=/var/run/postgresql port=5433 user=app password='p@ss'",
        "service=app",
        "host=@without,@file user=app",
    ],
)
def test_addresses(url: str) -> None:
    assert Config.from_environ(GOOD | {"DATABASE_URL": url}).database_url == url


def test_every_problem_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_environ({"WEBHOOK_POOL_SIZE": "many", "WEBHOOK_DB_TIMEOUT": "0"})
    for name in ("DATABASE_URL", "STRIPE_WEBHOOK_SECRET", "POOL_SIZE", "DB_TIMEOUT"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", " ", "missing"),
        ("DATABASE_URL", "postgresql://app:hunter2@db:port:5/na me?x", "no PostgreSQL address"),
        ("DATABASE_URL", "hunter2", "no PostgreSQL address"),
        # Of a password that is not encoded, PostgreSQL takes the rest for a host or a port.
        ("DATABASE_URL", "postgresql://app:pass@hunter2@db/name", "written %40"),
        ("DATABASE_URL", "postgresql://app:hunter2/word@db/name", "%2F"),
        ("DATABASE_URL", "postgresql://app:hunter2\udcff@db/name", "not UTF-8"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hunter2\udcff", "not UTF-8"),
        ("STRIPE_WEBHOOK_SECRET", " , ", "missing"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_a,sk_live_hunter2", "entry 2"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_", "entry 1"),
        ("WEBHOOK_POOL_SIZE", "-1", "from 1 to 100"),
        ("WEBHOOK_POOL_SIZE", "101", "from 1 to 100"),
        ("WEBHOOK_DB_TIMEOUT", "2.5", "from 1 to 60"),
        ("WEBHOOK_DB_TIMEOUT", "٣", "from 1 to 60"),
    ],
)
def test_one_problem(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_environ(GOOD | {name: value})
    assert name in str(refused.value) and said in str(refused.value)
    assert "hunter2" not in str(refused.value)
