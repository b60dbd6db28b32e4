"""The token of the Engine API: ours and forged ones."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Malformed, Refused
from rollup.engine import jwt

SECRET = bytes(range(32))
NOW = 1_700_000_000.0


def forged(header: Any, claims: Any, secret: bytes = SECRET, digest: Any = hashlib.sha256) -> str:
    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = ".".join(part(json.dumps(value).encode()) for value in (header, claims))
    return f"Bearer {signed}.{part(hmac.new(secret, signed.encode(), digest).digest())}"


def test_our_token_is_taken_within_a_minute() -> None:
    """60 s early or late pass, 61 do not."""
    value = "Bearer " + jwt.token(SECRET, NOW)

    for skew in (-60, 0, 60):
        jwt.verify(SECRET, value, NOW + skew)
    for skew in (-61, 61):
        with pytest.raises(Refused, match="stale"):
            jwt.verify(SECRET, value, NOW + skew)


def test_op_node_s_token_is_taken() -> None:
    """With other claims, and with the header's fields in any order."""
    claims = {"iat": NOW, "id": "node", "clv": "op-node/v1", "exp": NOW + 1}

    jwt.verify(SECRET, forged({"alg": "HS256", "typ": "JWT"}, claims), NOW)
    jwt.verify(SECRET, forged({"alg": "HS256"}, {"iat": NOW + 0.5}), NOW)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer ",
        "Bearer ..",
        "Bearer a.b",
        "Bearer é.a.b",
        "Basic " + jwt.token(SECRET, NOW),
        "bearer" + jwt.token(SECRET, NOW),
        "Bearer " + jwt.token(bytes(32), NOW),
        "Bearer " + jwt.token(SECRET, NOW)[:-1],
        "Bearer " + jwt.token(SECRET, NOW) + "=",
        "Bearer " + jwt.token(SECRET, NOW) + ".",
        "Bearer " + "a" * 10_000,
        forged({"alg": "none"}, {"iat": NOW}),
        forged({"alg": "HS512"}, {"iat": NOW}, digest=hashlib.sha512),
        forged({"alg": "HS512"}, {"iat": NOW}),
        forged({}, {"iat": NOW}),
        forged([], {"iat": NOW}),
        forged({"alg": "HS256"}, {}),
        forged({"alg": "HS256"}, {"iat": str(NOW)}),
        forged({"alg": "HS256"}, {"iat": True}),
        forged({"alg": "HS256"}, {"iat": 10**400}),
        forged({"alg": "HS256"}, {"iat": NOW, "exp": NOW - 1}),
        forged({"alg": "HS256"}, {"iat": NOW, "exp": None}),
        forged({"alg": "HS256"}, [NOW]),
    ],
)
def test_every_other_is_refused(value: str) -> None:
    """Signature, form, algorithm, times."""
    with pytest.raises(Refused):
        jwt.verify(SECRET, value, NOW)


@pytest.mark.parametrize("text", [SECRET.hex(), "0x" + SECRET.hex(), f"0x{SECRET.hex()}\n"])
def test_a_secret_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwt.hex"
    path.write_text(text)

    assert jwt.load_secret(path) == SECRET


@pytest.mark.parametrize("text", ["", "0x", "zz" * 32, "00" * 31, "00" * 33, "0" * 2_000, "é" * 64])
def test_a_broken_secret_is_malformed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwt.hex"
    path.write_text(text)

    with pytest.raises(Malformed, match=r"jwt\.hex"):
        jwt.load_secret(path)
    with pytest.raises(Malformed, match="cannot be read"):
        jwt.load_secret(tmp_path / "absent")
