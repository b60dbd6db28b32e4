"""The client of an op-alt-da server, eigenda-proxy or our embedded store over httpx."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from config.settings import Availability
from protocol.errors import Temporary
from rollup.da.rest import (
    COMMITMENT_BYTES_MAX,
    OBJECT_BYTES_MAX,
    OK,
    REASON_BYTES_MAX,
    Mode,
    get_answer,
    get_path,
    put_answer,
    put_path,
)

GET_SECONDS: Final = 30.0
PUT_SECONDS: Final = 600.0  # a dispersal to EigenDA takes minutes until it is confirmed

Observe = Callable[[str, int, int, float], None]  # operation, HTTP status or 0, bytes, seconds


def ignore(operation: str, status: int, size: int, seconds: float) -> None:
    """No metrics."""


class RestAvailability:
    """The port `rollup.ports.DataAvailability` at one URL; `client` is closed by its owner."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        mode: Mode = Mode.KECCAK,
        *,
        get_seconds: float = GET_SECONDS,
        put_seconds: float = PUT_SECONDS,
        observe: Observe = ignore,
    ) -> None:
        self._client, self._url, self._mode = client, url.rstrip("/"), mode
        self._get_seconds, self._put_seconds = get_seconds, put_seconds
        self._observe = observe

    async def put(self, data: bytes) -> bytes:
        """The commitment, without the transaction's version byte. Raises `FailOver` (503),
        `Temporary`, `Malformed` (an answer that is no commitment), `Refused` (too large)."""
        path = put_path(self._mode, data)
        status, body = await self._ask(
            "put", "POST", path, data, COMMITMENT_BYTES_MAX, self._put_seconds
        )
        return put_answer(self._mode, data, status, body)

    async def get(self, commitment: bytes, l1_inclusion: int | None = None) -> bytes:
        """The data. `l1_inclusion`: number of the L1 block that holds the commitment, with which
        EigenDA checks that the certificate was fresh. Raises `rollup.da.rest.Missing` (404),
        `InvalidCertificate` (418), `Temporary`, `Malformed` (no commitment)."""
        path = get_path(self._mode, commitment, l1_inclusion)
        status, body = await self._ask(
            "get", "GET", path, None, OBJECT_BYTES_MAX, self._get_seconds
        )
        return get_answer(commitment, status, body)

    async def _ask(
        self,
        operation: str,
        method: str,
        path: str,
        data: bytes | None,
        limit: int,
        seconds: float,
    ) -> tuple[int, bytes]:
        started, status, body = trio.current_time(), 0, b""
        try:
            with trio.fail_after(seconds):
                status, body = await self._exchange(method, path, data, limit)
        except trio.TooSlowError:
            raise Temporary(f"no answer from the DA server within {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Temporary(f"the DA server cannot be asked: {error!r}") from error
        finally:
            size = len(body) if data is None else len(data)
            self._observe(operation, status, size, trio.current_time() - started)
        return status, body

    async def _exchange(
        self, method: str, path: str, data: bytes | None, limit: int
    ) -> tuple[int, bytes]:
        # Compressed, a short answer could unpack to any size.
        headers = {"content-type": "application/octet-stream", "accept-encoding": "identity"}
        async with self._client.stream(
            method, self._url + path, content=data, headers=headers, timeout=None
        ) as response:
            bound = limit if response.status_code == OK else REASON_BYTES_MAX
            body = await read_bounded(response, bound)
            if response.status_code == OK and len(body) > limit:
                raise Temporary(f"the DA server answers with over {limit} bytes")
            return response.status_code, body


async def read_bounded(response: httpx.Response, bound: int) -> bytes:
    """The body, or a little more than `bound` bytes of it."""
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > bound:
                # Left by `break`, the generators inside httpx would be collected as garbage: closed
                # under their hands they end by themselves.
                await response.aclose()
    except (httpx.HTTPError, httpx.StreamError):
        if len(body) <= bound:
            raise
    return bytes(body)


@asynccontextmanager
async def open_availability(settings: Availability) -> AsyncIterator[RestAvailability | None]:
    """The server that the bodies of batches go to, None where none is set."""
    if settings.url is None:
        yield None
        return
    mode = Mode.KECCAK if settings.commitments == "keccak" else Mode.GENERIC
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        yield RestAvailability(client, settings.url, mode)
