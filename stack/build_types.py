"""Generate the clients' types, with the Supabase CLI, from a freshly installed database."""

import sys

from stack import ROOT
from stack.generated import bring_up_to_date
from stack.install import install
from stack.postgres import Cluster
from stack.supabase_cli import run_supabase

TYPES = {
    "typescript": "supabase/types/database.types.ts",
    "python": "supabase/types/database_types.py",
}


def generate(dsn: str, language: str) -> str:
    return run_supabase(dsn, "gen", "types", "--schema", "public", "--lang", language).stdout


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    with Cluster() as cluster:
        install(cluster.dsn())
        wanted = {ROOT / path: generate(cluster.dsn(), name) for name, path in TYPES.items()}
    return 1 if not bring_up_to_date(wanted, check=check) and check else 0


if __name__ == "__main__":
    sys.exit(main())
