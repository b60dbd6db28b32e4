"""Who may speak to the engine at all: by method, media type, host, origin and token."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import h11

from protocol.errors import Refused
from rollup.engine import jwt

HOSTS_ALLOWED: Final = ("127.0.0.1", "localhost", "[::1]")
EXTENSIONS: Final = ("chrome-extension://", "moz-extension://", "safari-web-extension://")
PREFLIGHT_SECONDS: Final = "600"
CALL, PREFLIGHT, UPGRADE = 200, 204, 101


@dataclass(frozen=True, slots=True)
class Gate:
    """A page in a browser on this machine must not drive the chain, a wallet in it must work.

    So: the media type must be JSON, which a page cannot send across origins unasked; the host must
    be a loopback name, which defeats DNS rebinding; an Origin must be one of `origins`, exactly, or
    a browser extension's: a wallet's background speaks as one, the user installed it himself, and
    no page can claim that origin. There is no wildcard. WebSockets, to which browsers apply no
    rule of their own, pass the same gate. With a `secret` no browser at all is let in.
    """

    origins: frozenset[str] = frozenset()
    secret: bytes | None = None
    clock: Callable[[], float] = time.time

    def judge(self, request: h11.Request) -> int:
        """`CALL`, `PREFLIGHT` or `UPGRADE` for what may go on, else the status of the refusal."""
        headers: dict[bytes, bytes] = dict(request.headers)
        upgrade = request.method == b"GET" and _is_upgrade(headers)
        preflight = request.method == b"OPTIONS" and b"origin" in headers
        if not (upgrade or preflight or request.method == b"POST"):
            return 405
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if not (upgrade or preflight) and media != b"application/json":
            return 415
        host = headers.get(b"host", b"").decode("latin-1")
        if (host if host.endswith("]") else host.rpartition(":")[0] or host) not in HOSTS_ALLOWED:
            return 403
        if not self._origin_allowed(origin(request)):
            return 403
        if preflight:
            return PREFLIGHT
        if self.secret is not None:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            try:
                jwt.verify(self.secret, authorization, self.clock())
            except Refused:
                return 401
        return UPGRADE if upgrade else CALL

    def headers(self, request: h11.Request, status: int) -> list[tuple[str, str]]:
        """What a browser must read in the answer to hand it to the page."""
        asked = origin(request)
        if asked is None or not self._origin_allowed(asked):
            return []
        out = [("access-control-allow-origin", asked), ("vary", "origin")]
        if status == PREFLIGHT:
            out += [
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", "content-type"),
                ("access-control-allow-private-network", "true"),
                ("access-control-max-age", PREFLIGHT_SECONDS),
            ]
        return out

    def _origin_allowed(self, asked: str | None) -> bool:
        if asked is None:  # not a browser
            return True
        return self.secret is None and (asked in self.origins or asked.startswith(EXTENSIONS))


def origin(request: h11.Request) -> str | None:
    """The page or extension that asks, None for a program of its own."""
    for name, value in request.headers:
        if name == b"origin":
            return bytes(value).decode("latin-1")
    return None


def _is_upgrade(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"upgrade", b"").lower() == b"websocket"
