"""The Supabase CLI, as npm has it."""

import os
import subprocess
from pathlib import Path

from stack import ROOT

# The package `supabase` is a shim around this binary, one of eight for as many systems.
PROGRAM = ROOT / "stack/node_modules/@supabase/cli-linux-x64/bin/supabase"


def run_supabase(
    dsn: str, *arguments: str, project: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command on this database for the project whose folder `supabase/` is in `project`."""
    result = subprocess.run(
        [PROGRAM, "--workdir", project, "--yes", *arguments, f"--remote={dsn}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        # The stand-in has no TLS, and the CLI would say so on stdout.
        env=os.environ | {"SUPABASE_TELEMETRY_DISABLED": "1", "PGSSLMODE": "disable"},
    )
    if result.returncode != 0:
        output = result.stdout + result.stderr
        raise RuntimeError(f"supabase {' '.join(arguments)} failed:\n{output.strip()}")
    return result
