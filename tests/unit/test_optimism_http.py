"""The JSON-RPC of the rollup node: answers, refusals, batches; never a traceback to a client."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from node.http.optimism import (
    BATCH_MAX,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PATH,
    SERVER_ERROR,
    routes,
)
from protocol.errors import Refused, Temporary


async def double(number: int) -> int:
    return 2 * number


async def away() -> None:
    raise Temporary("the engine is not running")


async def no() -> None:
    raise Refused("not this one")


METHODS = {"optimism_double": double, "optimism_away": away, "optimism_no": no}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=routes(METHODS))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        yield client


def call(method: str, *params: Any, identity: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": list(params)}


async def test_a_call_is_answered_under_its_id(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=call("optimism_double", 21, identity="a"))

    assert answer.json() == {"jsonrpc": "2.0", "id": "a", "result": 42}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (call("optimism_triple"), METHOD_NOT_FOUND),
        (call("optimism_double"), INVALID_PARAMS),
        (call("optimism_double", 1, 2), INVALID_PARAMS),
        ({**call("optimism_double"), "params": {"number": 1}}, INVALID_PARAMS),
        (call("optimism_away"), SERVER_ERROR),
        (call("optimism_no"), SERVER_ERROR),
        (7, INVALID_REQUEST),
        ({"method": 7}, INVALID_REQUEST),
        ([], INVALID_REQUEST),
        ([call("optimism_double", 1)] * (BATCH_MAX + 1), INVALID_REQUEST),
    ],
)
async def test_what_is_wrong_is_said(client: httpx.AsyncClient, asked: Any, code: int) -> None:
    answer = await client.post(PATH, json=asked)

    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff"])
async def test_what_is_no_json_is_said(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(PATH, content=body)

    assert answer.json()["error"]["code"] == PARSE_ERROR


async def test_a_batch_is_answered_in_order(client: httpx.AsyncClient) -> None:
    asked = [call("optimism_double", n, identity=n) for n in range(3)]

    answer = (await client.post(PATH, json=[*asked, 7])).json()

    assert [row.get("result") for row in answer] == [0, 2, 4, None]
    assert answer[3]["error"]["code"] == INVALID_REQUEST
