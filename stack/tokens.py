"""Tokens as Supabase Auth signs them."""

import time

import jwt


def sign(
    role: str, sub: str | None = None, *, secret: str, seconds: int = 3600, **claims: object
) -> str:
    """An HS256 token for `role`, a signed-in user's when `sub` is given. `claims` override."""
    now = int(time.time())
    user = {"sub": sub, "aud": "authenticated"} if sub else {}
    payload = {"iss": "supabase-local", "role": role, **user, "iat": now, "exp": now + seconds}
    return jwt.encode(payload | claims, secret, algorithm="HS256")
