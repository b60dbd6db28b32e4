"""The JSON-RPC client: each way to fail becomes the error that says what to do about it."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from contracts.rpc import BATCH_MAX, Rejected, Reverted, Rpc, data, number, revert_reason
from protocol.errors import Malformed, NodeError, Temporary

Answer = Callable[[Any], httpx.Response]
NO = (
    bytes.fromhex("08c379a0")
    + (32).to_bytes(32, "big")
    + (2).to_bytes(32, "big")
    + b"no"
    + bytes(30)
)


async def ask(answer: Answer, *, batch: int = 0) -> Any:
    async def reply(request: httpx.Request) -> httpx.Response:
        return answer(json.loads(request.content))

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        rpc = Rpc(client, "http://node")
        return await (rpc.batch([("m", [i]) for i in range(batch)]) if batch else rpc.call("m", 1))


def error(code: int, message: str, **more: Any) -> Answer:
    body = {"code": code, "message": message, **more}
    return lambda asked: httpx.Response(200, json={"id": asked["id"], "error": body})


async def test_a_result_is_returned() -> None:
    """Parameters go in order; the answer's id must be the question's."""
    asked: list[Any] = []

    def answer(request: Any) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"id": request["id"], "result": "0x1"})

    assert await ask(answer) == "0x1"
    assert (asked[0]["method"], asked[0]["params"], asked[0]["jsonrpc"]) == ("m", [1], "2.0")


async def test_batches_are_cut_and_put_in_order() -> None:
    """A node may answer in any order."""

    def answer(asked: Any) -> httpx.Response:
        assert len(asked) <= BATCH_MAX
        results = [{"id": call["id"], "result": call["params"][0]} for call in asked]
        return httpx.Response(200, json=results[::-1])

    assert await ask(answer, batch=250) == list(range(250))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (lambda _: httpx.Response(503), Temporary, "HTTP 503"),
        (lambda _: httpx.Response(429), Temporary, "HTTP 429"),
        (lambda _: httpx.Response(404), Malformed, "HTTP 404"),
        (lambda _: httpx.Response(200, text="<html>"), Malformed, "JSON"),
        (lambda _: httpx.Response(200, json=[]), Malformed, "call"),
        (lambda _: httpx.Response(200, json={"id": 9, "result": 1}), Malformed, "another call"),
        (lambda a: httpx.Response(200, json={"id": a["id"]}), Malformed, "without a result"),
        (lambda a: httpx.Response(200, json={"id": a["id"], "error": 7}), Malformed, "error"),
        (error(-32603, "oops"), Temporary, "oops"),
        (error(-32000, "nonce too low"), Rejected, "nonce too low"),
        (error(3, "execution reverted", data="0x" + NO.hex()), Reverted, "reverted: no"),
        (error(-32000, "execution reverted", data="0x12345678"), Reverted, "0x12345678"),
    ],
)
async def test_each_failure_has_its_kind(answer: Answer, kind: type[NodeError], words: str) -> None:
    """Try again, drop the answer, or hear the refusal."""
    with pytest.raises(kind, match=words) as caught:
        await ask(answer)
    assert type(caught.value) is kind


async def test_a_revert_carries_its_bytes() -> None:
    """Bindings decode custom errors from them."""
    with pytest.raises(Reverted) as caught:
        await ask(error(3, "execution reverted", data="0xdeadbeef"))
    assert caught.value.data == bytes.fromhex("deadbeef")


async def test_a_silent_node_is_temporary(autojump_clock: trio.abc.Clock) -> None:
    """Every call has a deadline, whatever the node does."""

    async def reply(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        with pytest.raises(Temporary, match="no answer"):
            await Rpc(client, "http://node").call("m")


async def test_a_node_that_is_away_is_temporary() -> None:
    """Refused connections come as transport errors."""

    def answer(asked: Any) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Temporary, match="cannot reach"):
        await ask(answer)


def test_values_that_are_none_are_malformed() -> None:
    """A node's answer is untrusted too."""
    assert (number("0x10"), data("0x0102", 2)) == (16, b"\x01\x02")
    for value in (None, 5, "", "10", "0x", "0xzz", "0x" + "1" * 65, ["0x1"]):
        with pytest.raises(Malformed):
            number(value)
    for value in (None, 5, "0102", "0x0", "0x01"):
        with pytest.raises(Malformed):
            data(value, 2)


def test_revert_reasons() -> None:
    """Text, panic code, or the bytes; lengths that lie are not believed."""
    lying = NO[:36] + (2**200).to_bytes(32, "big") + NO[68:]

    assert revert_reason(NO) == "no"
    assert revert_reason(bytes.fromhex("4e487b71") + (17).to_bytes(32, "big")) == "panic 0x11"
    assert revert_reason(lying) == "0x" + lying.hex()
    assert revert_reason(b"") == "0x"
