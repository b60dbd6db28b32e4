"""Who may spend the operator's money and disk: whoever can read the token in the data folder."""

import hmac
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from node.exits import WrongSettings

TOKEN = "operator.token"  # in the data folder
TOKEN_BYTES = 32
TOKEN_CHARS_MIN, TOKEN_CHARS_MAX = 16, 256  # of one that the operator wrote himself

Endpoint = Callable[[Request], Awaitable[Response]]


def operator_token(data_dir: Path) -> str:
    """The token, made at the first start; only the node's own user can read the file."""
    file = data_dir / TOKEN
    try:
        if not file.exists():
            _write(file, secrets.token_urlsafe(TOKEN_BYTES))
        with file.open(encoding="ascii") as opened:
            token = opened.read(TOKEN_CHARS_MAX + 2).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"data_dir: cannot use {file}: {error}") from None
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_CHARS_MAX or not token.isprintable():
        raise WrongSettings(
            f"{file}: want {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} letters; "
            "delete the file and start again to get a new token"
        )
    return token


def _write(file: Path, token: str) -> None:
    """Whole or not at all, whatever ends the process meanwhile."""
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as opened:
        opened.write(token + "\n")
        opened.flush()
        os.fsync(handle)
    draft.rename(file)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request to an endpoint pass that carries `Authorization: Bearer <token>`."""

    token: str = field(repr=False)

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            return await endpoint(request) if self.admits(request) else _unknown()

        return checked

    def admits(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(token.strip().encode(), self.token.encode())
        return scheme.lower() == "bearer" and right


def _unknown() -> Response:
    message = (
        "this spends the operator's money or disk: send the header Authorization: Bearer TOKEN "
        f"with the token in {TOKEN} in the node's data_dir"
    )
    error = {"error": {"message": message, "type": "unauthorized"}}
    headers = {"www-authenticate": 'Bearer realm="operator"'}
    return JSONResponse(error, status_code=401, headers=headers)
