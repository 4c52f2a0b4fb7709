"""Install the project's SQL, the way a DBA would."""

import tempfile

import psycopg

from stack import ROOT
from stack.postgres import run_psql

MARKETPLACE = "sql/marketplace/up.sql"
ENGINE = "sql/engine/up.sql"
FEATURE = "sql/favorites_priority/up.sql"
DOWN = "sql/favorites_priority/down.sql"
ENGINE_DOWN = "sql/engine/down.sql"
MARKETPLACE_DOWN = "sql/marketplace/down.sql"


def install(dsn: str, *files: str) -> None:
    """Run each layer's `up.sql`, or the given files; repeating is harmless."""
    for file in files or (MARKETPLACE, ENGINE, FEATURE):
        run_psql(dsn, "-f", str(ROOT / file))


def discover(dsn: str) -> str:
    """The binding that discover.sql writes for the marketplace that is there."""
    return run_psql(dsn, "-f", str(ROOT / "sql/discover.sql"))


def install_on_theirs(dsn: str, binding: str | None = None) -> None:
    """Run engine and feature on the marketplace that is there, with this or its found binding."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(discover(dsn) if binding is None else binding)
        file.flush()
        run_psql(dsn, "-v", f"binding={file.name}", "-f", str(ROOT / ENGINE))
    install(dsn, FEATURE)


def install_webhook_role(dsn: str) -> None:
    """Create the webhook app's restricted role and let it log in."""
    run_psql(dsn, "-f", str(ROOT / "sql/webhook_role.sql"), "-c", "alter role webhook_app login")


def install_push_role(dsn: str) -> None:
    """Create the push app's restricted role and let it log in."""
    run_psql(dsn, "-f", str(ROOT / "sql/push_role.sql"), "-c", "alter role push_app login")


def install_hub_role(dsn: str) -> None:
    """Create the hub's restricted role and let it log in."""
    run_psql(dsn, "-f", str(ROOT / "sql/hub_role.sql"), "-c", "alter role hub_app login")


def cron_command(dsn: str, job: str) -> str:
    """What pg_cron runs for this job, from the database that it is in."""
    query = "select command from cron.job where jobname = %s"
    with psycopg.connect(dsn) as connection:
        (row,) = connection.execute(query, (job,)).fetchall()
    return str(row[0])
