"""The token that guards the Engine API: JWT with HS256 over a secret of 32 bytes.

Source: execution-apis, engine/authentication.md. `iat` may differ by 60 s from our clock; the
algorithm is fixed, whatever the token's header asks for; signatures are compared in constant time.
"""

import base64
import binascii
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

from protocol.errors import Malformed, Refused

SECRET_BYTES: Final = 32
SECRET_FILE_BYTES_MAX: Final = 1_024
TOKEN_BYTES_MAX: Final = 4_096
SKEW_SECONDS_MAX: Final = 60
TIME_MAX: Final = 2**53
SCHEME: Final = "Bearer "
HEADER: Final = {"typ": "JWT", "alg": "HS256"}


def load_secret(path: Path) -> bytes:
    """The secret in a file of 64 hex digits, 0x before them or not. Raises `Malformed`."""
    try:
        if path.stat().st_size > SECRET_FILE_BYTES_MAX:
            raise Malformed(f"JWT secret file {path} is over {SECRET_FILE_BYTES_MAX} bytes")
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise Malformed(f"JWT secret file {path} cannot be read: {error}") from error
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise Malformed(f"JWT secret file {path} does not hold hex") from error
    if len(secret) != SECRET_BYTES:
        raise Malformed(f"JWT secret file {path} holds {len(secret)} bytes, not {SECRET_BYTES}")
    return secret


def token(secret: bytes, now: float) -> str:
    """A token issued at Unix time `now`, in seconds."""
    parts = (HEADER, {"iat": int(now)})
    signed = ".".join(_encode(json.dumps(p, separators=(",", ":")).encode()) for p in parts)
    return f"{signed}.{_encode(_mac(secret, signed))}"


def verify(secret: bytes, authorization: str, now: float) -> None:
    """Check the value of an Authorization header. Raises `Refused` with a reason for the log."""
    if len(authorization) > TOKEN_BYTES_MAX or not authorization.startswith(SCHEME):
        raise Refused("missing token")
    signed, _, signature = authorization.removeprefix(SCHEME).strip().rpartition(".")
    if not signed.isascii() or signed.count(".") != 1:
        raise Refused("malformed token")
    if not hmac.compare_digest(_mac(secret, signed), _decode(signature)):
        raise Refused("invalid signature")
    header, claims = (_object(_decode(part)) for part in signed.split("."))
    if header.get("alg") != HEADER["alg"]:
        raise Refused("the algorithm must be HS256")
    if abs(now - _time(claims.get("iat"))) > SKEW_SECONDS_MAX:
        raise Refused("stale token")
    if "exp" in claims and now > _time(claims["exp"]):
        raise Refused("expired token")


def _mac(secret: bytes, signed: str) -> bytes:
    return hmac.new(secret, signed.encode("ascii"), hashlib.sha256).digest()


def _time(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < TIME_MAX:
        raise Refused("malformed token")
    return value


def _object(encoded: bytes) -> dict[str, Any]:
    try:
        value = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise Refused("malformed token") from error
    if not isinstance(value, dict):
        raise Refused("malformed token")
    return value


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Base64url without padding, canonical."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed token") from error
    if _encode(raw) != text:
        raise Refused("malformed token")
    return raw
