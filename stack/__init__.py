"""The local stack: what hosted Supabase provides, on one machine, for the demo and the tests."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# No proxy leads to what runs on this machine. Each program reads one of the two.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
