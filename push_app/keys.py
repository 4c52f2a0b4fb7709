"""The key pair by which push services know the sender (VAPID, RFC 8292)."""

import base64

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02


class KeyFault(ValueError):
    """The text is no private key."""


def new_keys() -> tuple[str, str]:
    """A new pair, public and private, as browsers and VAPID_PRIVATE_KEY take them (base64url)."""
    key = ec.generate_private_key(ec.SECP256R1())
    number = key.private_numbers().private_value
    return public_key(Vapid02(key)), _base64url(number.to_bytes(32, "big"))


def read_key(text: str) -> Vapid02:
    """The signer of a private key that new_keys() made. Raises KeyFault."""
    try:
        number = int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
        return Vapid02(ec.derive_private_key(number, ec.SECP256R1()))
    except ValueError as error:
        raise KeyFault(str(error)) from error


def public_key(signer: Vapid02) -> str:
    """What a page passes to pushManager.subscribe() as applicationServerKey."""
    return _base64url(signer.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
