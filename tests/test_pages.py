"""The pages: what they name and link to is there."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from stack import ROOT

# Those that name tests as their evidence.
PAGES = ["docs/threat-model.md", "docs/degradation.md"]
LISTED = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "failover/*.md", "examples/*/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_each_test_that_is_named_exists(page: str) -> None:
    named = re.findall(r"`(tests/\w+/\w+\.py)::(\w+)`", (ROOT / page).read_text())
    assert len(named) >= 5
    for file, name in named:
        assert name in named_in(file), f"{file}::{name}"


@cache
def named_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_each_row_names_its_test(page: str) -> None:
    rows = re.findall(r"^\| (?!---|attack|without)(.*) \|$", (ROOT / page).read_text(), re.M)
    assert rows and not [row for row in rows if "::test_" not in row]


def prose(page: Path) -> str:
    return CODE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The headings' names in an address, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LISTED)
def test_each_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for link in map("".join, LINK.findall(prose(path))):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_target_that_a_page_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    for page in LISTED:
        text = (ROOT / page).read_text()
        named = re.findall(r"(?:`|^)make ([a-z]\w*)\b", text, re.MULTILINE)
        assert set(named) <= targets, page


@pytest.mark.parametrize("page", LISTED)
def test_an_app_is_started_where_its_packages_are(page: str) -> None:
    """By whatever is in the PATH it is not: the pages say how .venv is made."""
    blocks = "".join(CODE.findall((ROOT / page).read_text()))
    started = re.findall(
        r"^(?:\$ )?([\w./]*(?:gunicorn|python)) (?:-c webhook_app|-m \w+)", blocks, re.M
    )
    assert {name.rpartition("/")[0] for name in started} <= {".venv/bin"}
    made = "python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.lock\n"
    assert page not in ("README.md", "docs/installing.md") or (started and made in blocks)


def test_the_readme_is_short_and_each_file_that_it_names_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 2000
    for file in re.findall(r"\b(?:sql|docs|stack|webhook_app|supabase|examples)/[\w./-]*\w", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("page", ["README.md", "docs/reference.md"])
def test_each_rpc_and_each_error_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    rpcs = {path.name.split(".")[1] for path in (ROOT / "functions/api").glob("public.*.sql")}
    errors = (ROOT / "functions/caller/dispatch.raise_error.sql").read_text()
    words = re.findall(r"when '(\w+)' then\s+v_status := '(PT\d+)'", errors)
    assert len(rpcs) > 10 and len(words) > 10
    missing = {rpc for rpc in rpcs if f"`{rpc}" not in text}
    assert missing <= {"process_stripe_event"}, page  # the webhook's, no client's
    for word, status in words:
        assert re.search(rf"^\| {status} \|.*`{word}`", text, re.MULTILINE), word


def test_the_endpoint_gets_each_of_stripe_s_events_that_is_acted_on() -> None:
    text = (ROOT / "functions/payments/dispatch.process_stripe_event.sql").read_text()
    acted_on = set(re.findall(r"'((?:checkout|charge|refund)(?:\.\w+)+)'", text))
    page = (ROOT / "docs/installing.md").read_text()
    missing = {event for event in acted_on if f"`{event}`" not in page}
    assert len(acted_on) > 7 and missing <= {"charge.refund.updated"}  # its older name


def test_the_readme_names_each_event() -> None:
    def events(page: str) -> set[str]:
        table = (ROOT / page).read_text().partition("\n| event |")[2].partition("\n\n")[0]
        return set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M))))

    assert events("README.md") == events("docs/reference.md") and len(events("README.md")) > 5


def test_the_licence_is_the_one_that_the_project_states() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "PostgreSQL"
    (file,) = project["license-files"]
    assert (ROOT / file).read_text().startswith("PostgreSQL License\n")
