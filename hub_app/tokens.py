"""Access tokens, checked as PostgREST checks them, by the same settings."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

# PostgREST's allowance for clocks that differ, in seconds.
LEEWAY = 30
PATH_STEP = r"""\.([\w-]+)|\."([^"]+)"|\[([0-9]+)\]"""


class KeyFault(ValueError):
    """PostgREST's settings, as they are here, let no token be checked."""


class TokenFault(ValueError):
    """The token is none, not ours, or not of now."""


@dataclass(frozen=True)
class Token:
    claims: str
    role: str | None
    # Since the epoch, the allowance included; None: never.
    ends_at: float | None


class Tokens:
    def __init__(self, secret: str, *, is_base64: bool, audience: str, role_path: str) -> None:
        self._keys = _keys(secret, is_base64)
        self._audience = audience
        if not re.fullmatch(f"(?:{PATH_STEP})+", role_path):
            raise KeyFault(
                "PGRST_JWT_ROLE_CLAIM_KEY: the hub takes names and positions alone, as"
                ' .realm."a name"[0].'
            )
        self._role_path = [
            int(position) if position else name or quoted
            for name, quoted, position in re.findall(PATH_STEP, role_path)
        ]

    def check(self, token: str) -> Token:
        """What a token says. Raises TokenFault."""
        claims = self._verified(token)
        audience = claims.get("aud")
        if self._audience and audience is not None:
            named = [audience] if isinstance(audience, str) else audience
            if not isinstance(named, list) or self._audience not in named:
                raise TokenFault("The token is for another audience.")
        try:
            ends_at = float(claims["exp"]) + LEEWAY if "exp" in claims else None
        except OverflowError:
            ends_at = None
        return Token(json.dumps(claims), self._role(claims), ends_at)

    def _verified(self, token: str) -> dict[str, Any]:
        fault: jwt.InvalidTokenError = jwt.InvalidSignatureError("no key for it")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            for key in self._keys:
                if kid is not None and key.key_id is not None and kid != key.key_id:
                    continue
                try:
                    return jwt.decode(
                        token,
                        key,
                        algorithms=[key.algorithm_name],
                        leeway=LEEWAY,
                        options={"verify_aud": False, "verify_sub": False, "verify_jti": False},
                    )
                except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
                    fault = error  # another key's, maybe
        except jwt.InvalidTokenError as error:
            fault = error
        except UnicodeEncodeError as error:  # bytes that are no text
            raise TokenFault("The token does not hold: it is not UTF-8.") from error
        raise TokenFault(f"The token does not hold: {fault}.")

    def _role(self, claims: object) -> str | None:
        found: Any = claims
        for step in self._role_path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found if isinstance(found, str) else None


def _keys(secret: str, is_base64: bool) -> list[jwt.PyJWK]:
    if not secret:
        raise KeyFault(
            "PGRST_JWT_SECRET is not set: give it what PostgREST has, a secret, a JWK or a JWK set."
        )
    if secret.startswith("@"):
        try:
            secret = Path(secret[1:]).read_text().strip()
        except OSError as error:
            raise KeyFault(f"PGRST_JWT_SECRET names a file: {error.strerror}.") from error
        except ValueError as error:
            raise KeyFault("PGRST_JWT_SECRET names a file that is no text.") from error
    try:
        found = json.loads(secret)
    except (ValueError, RecursionError):
        found = None
    try:
        if isinstance(found, dict):
            return jwt.PyJWKSet(found["keys"]).keys if "keys" in found else [jwt.PyJWK(found)]
        # As PostgREST reads it, in either alphabet.
        digits = secret.translate(str.maketrans("-_.", "+/="))
        plain = base64.b64decode(digits, validate=True) if is_base64 else secret.encode()
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise KeyFault(f"PGRST_JWT_SECRET cannot be read: {error}.") from error
    except (KeyError, NotImplementedError) as error:
        raise KeyFault("PGRST_JWT_SECRET has a JWK without a key or an algorithm.") from error
    if len(plain) < 32:
        raise KeyFault("PGRST_JWT_SECRET must have at least 32 characters, as PostgREST wants.")
    key = {"kty": "oct", "k": base64.urlsafe_b64encode(plain).rstrip(b"=").decode()}
    return [jwt.PyJWK(key, algorithm=each) for each in ("HS256", "HS384", "HS512")]
