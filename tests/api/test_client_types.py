"""The TypeScript of docs/*.md, as an app's strict compiler reads it, beside the generated types."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from stack import ROOT

SOURCES = ["supabase/client/favorites_priority.ts", "supabase/client/react.ts"]
SOURCES += ["supabase/types/database.types.ts", "tests/js/usage.ts"]
STRICT = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "noImplicitReturns": True,
    "noUnusedLocals": True,
    "noUnusedParameters": True,
    "noEmit": True,
    "skipLibCheck": True,  # supabase-js's own files
    "target": "es2022",
    "module": "nodenext",
    "lib": ["es2023", "dom", "dom.iterable"],
    "types": [],
}


@pytest.mark.further
def test_an_app_in_strict_typescript(tmp_path: Path) -> None:
    for source in SOURCES:
        shutil.copy(ROOT / source, tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "stack/node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": STRICT}))
    tsc = subprocess.run(
        [ROOT / "stack/node_modules/.bin/tsc", "-p", tmp_path], capture_output=True, text=True
    )
    assert tsc.returncode == 0, tsc.stdout
