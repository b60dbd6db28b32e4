"""The embedded keccak store behind the REST API of op-alt-da, for Starlette."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import trio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from protocol.errors import Refused, Temporary
from rollup.da.keccak_store import Full, KeccakStore
from rollup.da.rest import (
    COMMITMENT_BYTES_MAX,
    KECCAK,
    NOT_FOUND,
    OBJECT_BYTES_MAX,
    OK,
    UNAVAILABLE,
    Mode,
    keccak_commitment,
    kind_of,
)
from rollup.ports import Store

BAD_REQUEST, TOO_LARGE, ERROR = 400, 413, 500
MODES: Final = ("", Mode.KECCAK.value, "optimism_keccak")  # of ?commitment_mode= that we serve
OCTETS: Final = "application/octet-stream"

Observe = Callable[[str, int, int], None]  # operation, HTTP status, bytes of data


def ignore(operation: str, status: int, size: int) -> None:
    """No metrics."""


class _Api:
    """One store is touched by one thread at a time; a request waits for its turn."""

    def __init__(self, store: Store, observe: Observe) -> None:
        self._kept = KeccakStore(store)
        self._observe = observe
        self._turn = trio.CapacityLimiter(1)

    async def put(self, request: Request) -> Response:
        return await self._told("put", request, self._put)

    async def get(self, request: Request) -> Response:
        return await self._told("get", request, self._get)

    async def _put(self, request: Request) -> Response:
        expected = _commitment(request) if "commitment" in request.path_params else None
        data = await _body(request)
        if expected is not None and keccak_commitment(data) != expected:
            return _no(BAD_REQUEST, "the body is not what the commitment in the path says")
        try:
            commitment = await trio.to_thread.run_sync(self._kept.put, data, limiter=self._turn)
        except Refused as error:
            return _no(BAD_REQUEST, str(error))
        except Full as error:
            return _no(UNAVAILABLE, str(error))
        return Response(b"" if expected is not None else commitment, OK, media_type=OCTETS)

    async def _get(self, request: Request) -> Response:
        commitment = _commitment(request)
        try:
            data = await trio.to_thread.run_sync(self._kept.get, commitment, limiter=self._turn)
        except Temporary as error:
            return _no(ERROR, str(error))
        if data is None:
            return _no(NOT_FOUND, "no data of this commitment here")
        return Response(data, OK, media_type=OCTETS)

    async def _told(
        self, operation: str, request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        mode = request.query_params.get("commitment_mode", "")
        if mode not in MODES:
            raise HTTPException(BAD_REQUEST, "this store makes keccak commitments only")
        response = await answer(request)
        self._observe(operation, response.status_code, len(response.body))
        return response


def routes(store: Store, prefix: str = "", observe: Observe = ignore) -> list[Route]:
    """The API under `prefix`; `store` is a namespace of the node's, for this alone."""
    api = _Api(store, observe)
    writes = ["POST", "PUT"]
    return [
        Route(f"{prefix}/put", api.put, methods=writes),
        Route(f"{prefix}/put/", api.put, methods=writes),
        Route(f"{prefix}/put/{{commitment}}", api.put, methods=writes),
        Route(f"{prefix}/get/{{commitment}}", api.get, methods=["GET"]),
    ]


def _commitment(request: Request) -> bytes:
    text = request.path_params["commitment"]
    if len(text) > 2 + 2 * COMMITMENT_BYTES_MAX:
        raise HTTPException(BAD_REQUEST, "a commitment that long is none")
    try:
        commitment = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise HTTPException(BAD_REQUEST, "a commitment is written 0x and hex digits") from None
    if kind_of(commitment) != KECCAK:
        raise HTTPException(BAD_REQUEST, "this store keeps keccak commitments: 0x00 and 32 bytes")
    return commitment


async def _body(request: Request) -> bytes:
    """The whole body, or 413 before more than its bound is kept."""
    data = bytearray()
    try:
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > OBJECT_BYTES_MAX:
                    text = f"an object has at most {OBJECT_BYTES_MAX} bytes"
                    raise HTTPException(TOO_LARGE, text)
    except ClientDisconnect:
        raise HTTPException(BAD_REQUEST, "the client went away") from None
    return bytes(data)


def _no(status: int, reason: str) -> Response:
    return Response(reason, status, media_type="text/plain")
