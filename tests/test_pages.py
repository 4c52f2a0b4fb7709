"""The pages that name tests as their evidence: each of these exists."""

import ast
import re

import pytest

from stack import ROOT

PAGES = ["docs/threat-model.md", "docs/degradation.md"]


@pytest.mark.parametrize("page", PAGES)
def test_each_test_that_is_named_exists(page: str) -> None:
    named = re.findall(r"`(tests/\w+/\w+\.py)::(\w+)`", (ROOT / page).read_text())
    assert len(named) >= 5
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text())
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in tests, f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES)
def test_each_row_names_its_test(page: str) -> None:
    rows = re.findall(r"^\| (?!---|attack|without)(.*) \|$", (ROOT / page).read_text(), re.M)
    assert rows and not [row for row in rows if "::test_" not in row]
