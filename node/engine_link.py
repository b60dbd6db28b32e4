"""The Engine API of the engine that runs now: the embedded one has a new port at each start."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from contracts.rpc import Rpc
from node.exits import WrongSettings
from protocol.errors import Temporary

CALL_SECONDS_MAX = 30.0  # a payload at the gas limit takes some
SECRET_BYTES = 32


class EngineLink:
    """A `Call` whose address may change; `Temporary` while no engine runs."""

    def __init__(self, client: httpx.AsyncClient, bearer: Callable[[], str]) -> None:
        self._client, self._bearer = client, bearer
        self._rpc: Rpc | None = None

    def connect(self, url: str | None) -> None:
        """Use the engine at `url` from now on, or none."""
        self._rpc = None
        if url is not None:
            self._rpc = Rpc(self._client, url, seconds_max=CALL_SECONDS_MAX, bearer=self._bearer)

    async def call(self, method: str, *params: Any) -> Any:
        if self._rpc is None:
            raise Temporary("the execution engine is not running")
        return await self._rpc.call(method, *params)


@asynccontextmanager
async def open_link(secret: bytes, now: Callable[[], float]) -> AsyncIterator[EngineLink]:
    """A link for the lifetime of the block; `now` in Unix seconds."""
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        yield EngineLink(client, lambda: token(secret, int(now())))


def token(secret: bytes, now: int) -> str:
    """A JWT for one request (execution-apis, authentication.md): HS256 over `iat` alone."""
    head = _base64(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    claims = _base64(json.dumps({"iat": now}, separators=(",", ":")).encode())
    signature = hmac.new(secret, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    return f"{head}.{claims}.{_base64(signature)}"


def read_secret(file: Path) -> bytes:
    """The 32 bytes that `file` holds in hex; `WrongSettings` says what is wrong with it."""
    try:
        secret = bytes.fromhex(file.read_text(encoding="ascii").strip().removeprefix("0x"))
    except (OSError, ValueError) as error:
        raise WrongSettings(f"rollup.jwt_file: {file} cannot be read: {error}") from None
    if len(secret) != SECRET_BYTES:
        raise WrongSettings(f"rollup.jwt_file: {file} holds {len(secret)} bytes, want 32 in hex")
    return secret


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
