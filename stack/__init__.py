"""The local stack: what hosted Supabase provides, on one machine, for the demo and the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
