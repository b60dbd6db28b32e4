"""Bounds on what a client may cost: body size, body time, requests at once."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.metrics import Metrics

BODY_SECONDS = 30.0  # from the head of a request to the end of its body
TOO_LARGE, TOO_SLOW, TOO_MANY = 413, 408, 503
CLOSE = {"connection": "close"}  # what the client still sends is not read
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE")


class Limits:
    """ASGI around a Starlette `app`: refuses with 413, 408 or 503, and counts every request."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        body_bytes_max: int,
        requests_max: int,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._metrics = app, metrics
        self._body_bytes_max, self._requests_max = body_bytes_max, requests_max
        self._body_seconds = body_seconds
        self._too_large = f"the body may have {body_bytes_max} bytes"
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = trio.current_time(), 0

        async def counted_send(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        self._running += 1
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, counted_send)
                return
            await self._app(scope, self._bounded(receive), counted_send)
        finally:
            self._running -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, str(code)).inc()
            self._metrics.request_seconds.observe(trio.current_time() - started)

    def _refusal(self, scope: MutableMapping[str, Any]) -> JSONResponse | None:
        if self._running > self._requests_max:
            text = f"{self._requests_max} requests are being answered; try again later"
            return explained(TOO_MANY, text, {"retry-after": "1", **CLOSE})
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value or b"0") > self._body_bytes_max:
                return explained(TOO_LARGE, self._too_large, CLOSE)
        return None

    def _bounded(self, receive: Receive) -> Receive:
        deadline = trio.current_time() + self._body_seconds
        left, whole = self._body_bytes_max, False

        async def bounded() -> Message:
            nonlocal left, whole
            if whole:  # a wait for the client to go away has no bound
                return await receive()
            with trio.move_on_at(deadline) as scope:
                message = await receive()
            if scope.cancelled_caught:
                text = f"the body must come in {self._body_seconds:.0f} s"
                raise HTTPException(TOO_SLOW, text, CLOSE)
            left -= len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if left < 0:
                raise HTTPException(TOO_LARGE, self._too_large, CLOSE)
            return message

        return bounded


def explained(code: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error in the shape of OpenAI's API, which its clients know how to show."""
    body = {"error": {"message": text, "type": "invalid_request_error", "code": code}}
    return JSONResponse(body, status_code=code, headers=dict(headers or {}))
