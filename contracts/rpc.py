"""JSON-RPC to an Ethereum node over HTTP: every call has a deadline, every failure is ours."""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import httpx
import trio
from pydantic_core import from_json

from contracts.bindings import reason
from protocol.errors import Malformed, Refused, Temporary

CALL_SECONDS_MAX: Final = 20.0
ANSWER_BYTES_MAX: Final = 96 << 20
CONNECTIONS_MAX: Final = 16
BATCH_MAX: Final = 100
REASON_BYTES_MAX: Final = 4096

REVERTED: Final = 3
LIMIT_EXCEEDED: Final = -32005
INTERNAL_ERROR: Final = -32603


class Rejected(Refused):
    """The node understood the call and said no: its `code`, and its words as the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Reverted(Rejected):
    """A contract refused: `data` is what it returned, the message its reason."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(REVERTED, message)
        self.data = data


class Node(Protocol):
    """What the follower and the outbox need of a node; tests put a chain of their own behind it."""

    async def call(self, method: str, *params: Any) -> Any: ...

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]: ...


class Rpc:
    """A `Node` at one URL, over kept-alive connections.

    Raises `Temporary` (no connection, deadline, HTTP 5xx or 429, the node's internal error),
    `Malformed` (no JSON-RPC answer), `Rejected`, `Reverted`.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        *,
        seconds_max: float = CALL_SECONDS_MAX,
        bearer: Callable[[], str] | None = None,
    ) -> None:
        self._client = client
        self._bearer = bearer
        self._url = url
        self._seconds_max = seconds_max
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one call, as JSON."""
        request = self._request(method, params)
        return _result(await self._post(request), request["id"])

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results in the order of `calls`; the first error among them is raised."""
        results: list[Any] = []
        for group in _groups(calls):
            requests = [self._request(method, params) for method, params in group]
            answers = await self._post(requests)
            if not isinstance(answers, list):
                _result(answers, None)
                raise Malformed("the node did not answer a batch with a batch")
            by_id = {a.get("id"): a for a in answers if isinstance(a, dict) and _is_id(a.get("id"))}
            results += [_result(by_id.get(request["id"]), request["id"]) for request in requests]
        return results

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": list(params),
        }

    async def _post(self, request: Any) -> Any:
        try:
            with trio.fail_after(self._seconds_max):
                body = await self._read(json.dumps(request).encode())
        except trio.TooSlowError as error:
            raise Temporary(f"no answer from {self._url} in {self._seconds_max:g} s") from error
        except httpx.RequestError as error:
            raise Temporary(f"cannot reach {self._url}: {error or type(error).__name__}") from error
        try:
            return from_json(body)  # bounds the depth, whatever Python's recursion limit
        except ValueError as error:
            raise Malformed(f"{self._url} did not answer with JSON") from error

    async def _read(self, content: bytes) -> bytes:
        # not compressed: what comes is what is counted
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._bearer is not None:
            headers["authorization"] = f"Bearer {self._bearer()}"
        request = self._client.stream("POST", self._url, content=content, headers=headers)
        async with request as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise Temporary(f"{self._url} answered HTTP {response.status_code}")
            if response.status_code != 200:
                raise Malformed(f"{self._url} answered HTTP {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise Malformed(f"{self._url} answered with over {ANSWER_BYTES_MAX} bytes")
            return bytes(body)


@asynccontextmanager
async def connect(
    url: str, *, seconds_max: float = CALL_SECONDS_MAX, bearer: Callable[[], str] | None = None
) -> AsyncIterator[Rpc]:
    """A client for the lifetime of the block; it connects at the first call.

    `bearer` gives the token of each request: those of an Engine API are worth a minute only.
    """
    limits = httpx.Limits(
        max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX
    )
    # the deadline is one per call, around everything; proxies of the environment are not for nodes
    async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:
        yield Rpc(client, url, seconds_max=seconds_max, bearer=bearer)


def number(value: Any) -> int:
    """A JSON-RPC quantity. Raises `Malformed`."""
    try:
        if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
            return int(value, 16)
    except ValueError:
        pass
    raise Malformed(f"the node answered {str(value)[:80]!r} where a quantity belongs")


def data(value: Any, size: int | None = None) -> bytes:
    """JSON-RPC bytes, of `size` bytes if given. Raises `Malformed`."""
    try:
        if isinstance(value, str) and value.startswith("0x"):
            result = bytes.fromhex(value[2:])
            if size is None or len(result) == size:
                return result
    except ValueError:
        pass
    raise Malformed(f"the node answered {str(value)[:80]!r} where bytes belong")


def hexadecimal(value: bytes) -> str:
    return "0x" + value.hex()


def _result(answer: Any, identity: int | None) -> Any:
    if not isinstance(answer, dict):
        raise Malformed("the node did not answer a call of the batch")
    error = answer.get("error")
    if error is None:
        if not _is_id(answer.get("id")) or answer["id"] != identity or "result" not in answer:
            raise Malformed("the node answered another call, or without a result")
        return answer["result"]
    fields = error if isinstance(error, dict) else {}
    code, message, returned = (fields.get(name) for name in ("code", "message", "data"))
    if not isinstance(code, int) or not isinstance(message, str):
        raise Malformed("the node answered with an error of no known form")
    if code == REVERTED or (isinstance(returned, str) and "revert" in message):
        raw = data(returned) if isinstance(returned, str) else b""
        raise Reverted(f"reverted: {reason(raw[:REASON_BYTES_MAX])}" if raw else message, raw)
    if code == INTERNAL_ERROR:
        raise Temporary(f"the node failed: {message}")
    raise Rejected(code, message)


def _is_id(value: Any) -> bool:
    """Ours are whole numbers; others may not even be keys, and True is 1."""
    return type(value) is int


def _groups(
    calls: Sequence[tuple[str, Sequence[Any]]],
) -> list[Sequence[tuple[str, Sequence[Any]]]]:
    return [calls[i : i + BATCH_MAX] for i in range(0, len(calls), BATCH_MAX)]
