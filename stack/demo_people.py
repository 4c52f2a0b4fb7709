"""The demo people of supabase/seed.sql, and sessions for them as Supabase Auth would give."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from stack import ROOT
from stack.postgres import run_psql
from stack.services import TEN_YEARS, write_private
from stack.tokens import sign

Session = dict[str, Any]


def add_demo_people(env: Mapping[str, str]) -> None:
    run_psql(env["DATABASE_URL"], "-f", str(ROOT / "supabase/seed.sql"))


def session_of(env: Mapping[str, str], user_id: str, email: str, name: str) -> Session:
    """What supabase-js keeps in the browser of someone who has signed in."""
    metadata = {"full_name": name}
    claims = {"email": email, "user_metadata": metadata}
    token = sign("authenticated", user_id, secret=env["JWT_SECRET"], seconds=TEN_YEARS, **claims)
    return {
        "access_token": token,
        "refresh_token": "unused",
        "token_type": "bearer",
        "expires_in": TEN_YEARS,
        "expires_at": 2**31,
        "user": {"id": user_id, "email": email, "user_metadata": metadata},
    }


def write_demo_people(env: Mapping[str, str], path: Path) -> None:
    """Write who may be picked on the local sign-in page; with tokens, so for this machine alone."""
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        rows = connection.execute(
            "select u.id::text, u.email, u.raw_user_meta_data ->> 'name', m.status"
            " from auth.users as u left join public.mechanics as m using (id)"
            " where u.email like '%@demo.example' order by m.status nulls first, u.id"
        ).fetchall()
    people = [
        {
            "name": name,
            "about": "a customer" if status is None else f"a mechanic ({status})",
            "page": "index.html" if status is None else "mechanic.html",
            "session": session_of(env, user_id, email, name),
        }
        for user_id, email, name, status in rows
    ]
    write_private(path, json.dumps(people, indent=4) + "\n")
