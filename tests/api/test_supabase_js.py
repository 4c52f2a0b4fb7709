"""tests/js under Node: supabase-js in the story, the errors, and the code of docs/*.md."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.build_module import without_types
from tests.api.realtime import realtime
from tests.api.world import World
from tests.further import further_but

SOURCES = ROOT / "tests/js"
MODULE = ROOT / "examples/dashboard/favorites_priority.js"  # the page's code
PAGE = ROOT / "docs/supabase.md"
FILES = further_but(
    ["privacy.test.mjs", "story.test.mjs"],
    sorted(path.name for path in SOURCES.glob("*.test.mjs")),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests beside the page's code and the npm packages, where Node looks for them."""
    directory = tmp_path_factory.mktemp("js") / "tests"
    shutil.copytree(SOURCES, directory)
    shutil.copy(MODULE, directory / "page.mjs")
    hooks = without_types((ROOT / "supabase/client/react.ts").read_text())
    (directory / "react.mjs").write_text(hooks.replace("./favorites_priority.js", "./page.mjs"))
    (sign_in,) = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (directory / "sign_in.mjs").write_text(sign_in)
    (directory / "node_modules").symlink_to(ROOT / "stack/node_modules")
    return directory


@pytest.fixture(scope="module")
def realtime_url(world: World) -> Iterator[str]:
    with realtime(world.env) as url:
        yield url


@pytest.mark.parametrize("file", FILES)
def test_supabase_js(
    world: World, directory: Path, realtime_url: str, file: str, request: pytest.FixtureRequest
) -> None:
    if file == "flag_off.test.mjs":
        request.getfixturevalue("flag_off")
    people = {
        "carla": world.customer(),
        "stranger": world.customer(),
        "frank": world.mechanic(),
        "mona": world.mechanic(),
        "pending": world.mechanic("pending"),
    }
    errors = (ROOT / "functions/caller/dispatch.raise_error.sql").read_text()
    environment = {
        "REALTIME_URL": realtime_url,
        "PEOPLE": json.dumps({name: {"id": p.id, "token": p.token} for name, p in people.items()}),
        "NOBODY": world.anyone("authenticated").token,
        "ERRORS": json.dumps(sorted(re.findall(r"when '(\w+)' then", errors))),
    }
    result = subprocess.run(
        # A client that has been connected keeps timers, and Node would wait for them.
        ["node", "--test", "--test-force-exit", "--test-reporter=spec", file],
        cwd=directory,
        env=os.environ | world.env | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
