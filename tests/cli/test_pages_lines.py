"""The lines for psql that the pages give a DBA to run alone, run as they stand there."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.postgres import Cluster, run_psql
from tests.database import Database, dump

GARAGE = ROOT / "examples/marketplaces/garage/schema.sql"
BLOCK = re.compile(r"^```\n(psql .*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def hosted() -> Iterator[Database]:
    with Cluster() as cluster, Database(cluster, "postgres") as database:
        yield database


@pytest.fixture
def run(hosted: Database, tmp_path: Path) -> Callable[[str], str]:
    """Type lines in a clone; what is printed."""
    for name in ("functions", "sql"):
        (tmp_path / name).symlink_to(ROOT / name)

    def typed(lines: str) -> str:
        result = subprocess.run(
            ["bash", "-e"],
            input=lines,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"DATABASE_URL": hosted.dsn(), "EDITOR": "true"},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return typed


def lines(page: str, word: str) -> str:
    """The first block that has this word."""
    blocks: list[str] = BLOCK.findall((ROOT / page).read_text())
    return next(block for block in blocks if word in block)


@pytest.mark.parametrize("page", ["README.md", "docs/installing.md"])
def test_on_a_marketplace_that_was_there_first(
    page: str, hosted: Database, run: Callable[[str], str], tmp_path: Path
) -> None:
    run_psql(hosted.dsn(), "-f", str(GARAGE))
    before = dump(hosted)
    said = run(lines(page, "sql/discover.sql"))
    assert "The engine is installed on your marketplace." in said and "checks, all ok." in said
    assert hosted.value("select dispatch.governs_all()") is False
    leave = lines(page, "sql/engine/down.sql").splitlines()
    run("\n".join(line for line in leave if "marketplace/down" not in line))
    assert dump(hosted) == before
    assert (tmp_path / "request_events.csv").exists() and (tmp_path / "stripe_events.csv").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/installing.md"])
def test_where_there_was_none(page: str, hosted: Database, run: Callable[[str], str]) -> None:
    before = dump(hosted)
    said = run(lines(page, "sql/marketplace/up.sql"))
    assert "The flag is off" in said and "checks, all ok." in said
    assert hosted.value("select dispatch.governs_all()") is True
    run(lines(page, "sql/engine/down.sql"))
    if hosted.value("select to_regclass('public.service_plans')"):
        run('psql "$DATABASE_URL" -X -f sql/marketplace/down.sql')
    assert dump(hosted) == before


def test_the_readme_prints_what_the_install_prints(run: Callable[[str], str]) -> None:
    said = run(lines("README.md", "sql/marketplace/up.sql"))
    (word,) = re.findall(
        r"^```\n(Favorites Priority is installed\..*?)^```$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert word in said
