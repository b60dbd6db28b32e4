"""The JSON-RPC client: each way to fail becomes the error that says what to do about it."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio

from contracts import abi
from contracts.rpc import BATCH_MAX, Rejected, Reverted, Rpc, data, number
from protocol.errors import Malformed, NodeError, Temporary

Answer = Callable[[Any], httpx.Response]
NO = "0x08c379a0" + f"{32:064x}{2:064x}" + b"no".hex() + "00" * 30
INSUFFICIENT = next(
    e for e in abi.artifact("InferenceEscrow").errors.values() if e["name"] == "Insufficient"
)


async def ask(answer: Answer, *, batch: int = 0) -> Any:
    async def reply(request: httpx.Request) -> httpx.Response:
        told = answer(json.loads(request.content))
        return httpx.Response(told.status_code, stream=httpx.ByteStream(told.content))

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
        (error(3, "execution reverted", data=NO), Reverted, "reverted: Error"),
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


async def test_a_revert_says_its_error_by_name() -> None:
    """A custom error of ours is named, with its values; foreign bytes are shown, but not all."""
    insufficient = "0x" + abi.selector(INSUFFICIENT).hex() + f"{1:064x}{2:064x}"

    assert await refusal(insufficient) == "reverted: Insufficient(have=1, want=2)"
    assert await refusal(NO) == "reverted: Error(message=no)"
    assert await refusal("0x4e487b71" + f"{17:064x}") == "reverted: Panic(code=17)"
    assert await refusal(NO[:74] + "ff" * 32 + NO[138:]) == "reverted: Error, malformed"
    assert len(await refusal("0x99" + "00" * 10**6)) < 10_000
    assert await refusal("0x") == "execution reverted"


async def refusal(returned: str) -> str:
    with pytest.raises(Reverted) as caught:
        await ask(error(3, "execution reverted", data=returned))
    return str(caught.value)


@pytest.mark.parametrize("identity", [{}, [], [1], "1", None, 1.0, True, 10**300])
async def test_answers_with_other_ids_than_ours_are_malformed(identity: Any) -> None:
    """Not even hashable, or equal to ours and yet another."""

    def single(asked: Any) -> httpx.Response:
        return httpx.Response(200, json={"id": identity, "result": 1})

    def several(asked: Any) -> httpx.Response:
        return httpx.Response(200, json=[{"id": identity, "result": 1}])

    with pytest.raises(Malformed):
        await ask(single)
    with pytest.raises(Malformed):
        await ask(several, batch=1)


@pytest.mark.parametrize(
    "content",
    [b"[" * 10_000, b'{"id":1,"result":' * 5_000, b"\xff", b"9" * 5_000, b'"\\ud800"', b""],
)
async def test_no_json_is_malformed(content: bytes) -> None:
    """Also when it nests deeper than a stack, which a library's recursion limit would allow."""
    with pytest.raises(Malformed, match="JSON"):
        await ask(lambda _: httpx.Response(200, content=content))


async def test_nothing_is_decompressed() -> None:
    """A node that compresses all the same is not believed, whether or not it says the truth."""
    asked: list[str] = []

    async def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        stream = httpx.ByteStream(gzip.compress(b'{"id":1,"result":1}') if len(asked) > 1 else b"x")
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=stream)

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        for _ in range(2):
            with pytest.raises(Malformed, match="JSON"):
                await Rpc(client, "http://node").call("m")
    assert asked == ["identity"] * 2


async def test_a_request_that_fails_otherwise_is_temporary() -> None:
    def answer(asked: Any) -> httpx.Response:
        raise httpx.TooManyRedirects("round and round")

    with pytest.raises(Temporary, match="round"):
        await ask(answer)
