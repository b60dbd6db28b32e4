"""A node that derives hands transactions on to its sequencer, over a real connection."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from protocol.errors import Malformed
from rollup.engine import forward
from rollup.engine.errors import Failure
from rollup.engine.forward import Sequencer
from rollup.engine.methods import Methods
from tests.net.engine_process import transaction
from tests.net.engine_served import Served, served

RAW = "0x" + transaction(0, to=b"\x99" * 20).hex()


def follower(one: Served, url: str) -> Methods:
    """Another node's RPC, with a pool of its own, over the same chain."""
    return Methods(one.methods.lookup.chain, building=False, sequencer=Sequencer(url))


@asynccontextmanager
async def answering(*parts: bytes, close: bool = True) -> AsyncIterator[str]:
    """A peer that reads a little, sends `parts`, and hangs up or not."""

    async def speak(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        try:
            for part in parts:
                await stream.send_all(part)
            if not close:
                await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, speak, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/rpc?key=1"
        nursery.cancel_scope.cancel()


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def test_the_sequencer_has_it_and_our_pool_shows_it(tmp_path: Path) -> None:
    """Its refusal comes back as it is; what does not decode goes to nobody."""
    async with served(tmp_path) as one:
        ours = follower(one, f"http://localhost:{one.port}")

        sent = await ours.answer("eth_sendRawTransaction", [RAW])
        assert (await one.call("eth_getTransactionByHash", sent))["nonce"] == "0x0"
        assert await ours.answer("txpool_status", []) == {"pending": "0x1", "queued": "0x0"}
        with pytest.raises(Failure, match="already known") as refused:
            await ours.answer("eth_sendRawTransaction", [RAW])
        assert refused.value.code == -32000
        broken = "0x" + transaction(1, chainId=5).hex()
        with pytest.raises(Failure, match="invalid chain id") as refused:
            await ours.answer("eth_sendRawTransaction", [broken])
        assert refused.value.code == -32602


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000,
        http(b""),
        http(b"[1]"),
        http(b'{"result": 7}'),
        http(b'{"error": 7}'),
        http(b"[" * 5_000),
        http(b"x" * (forward.ANSWER_BYTES_MAX + 1)),
        http(b"short")[:-2],
    ],
)
async def test_a_broken_sequencer_is_an_error_of_ours(tmp_path: Path, answer: bytes) -> None:
    """Bounded, in words; our pool keeps nothing."""
    async with served(tmp_path) as one, answering(answer) as url:
        ours = follower(one, url)
        with pytest.raises(Failure, match="the sequencer did not take") as refused:
            await ours.answer("eth_sendRawTransaction", [RAW])

        assert refused.value.code == -32000
        assert len(ours.lookup.pool) == 0


async def test_a_silent_or_absent_one_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "DEADLINE_SECONDS", 0.05)
    async with served(tmp_path) as one, answering(close=False) as url:
        with pytest.raises(Failure, match="TooSlowError"):
            await follower(one, url).answer("eth_sendRawTransaction", [RAW])
        (gone,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        absent = f"http://127.0.0.1:{gone.socket.getsockname()[1]}"
        await gone.aclose()
        with pytest.raises(Failure, match="the sequencer did not take"):
            await follower(one, absent).answer("eth_sendRawTransaction", [RAW])


async def test_its_error_is_handed_on_within_bounds(tmp_path: Path) -> None:
    error = {"code": 3, "message": "x" * 5_000, "data": "0x" + "00" * 5_000}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
    async with served(tmp_path) as one, answering(http(body)) as url:
        with pytest.raises(Failure) as refused:
            await follower(one, url).answer("eth_sendRawTransaction", [RAW])

    assert (refused.value.code, len(str(refused.value))) == (3, forward.MESSAGE_CHARS_MAX)
    assert len(refused.value.data or "") == forward.DATA_CHARS_MAX


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://x",
        "http://",
        "http://h:99999",
        "http://u:p@h",
        "http://h/ü",
        "http://h/\n",
    ],
)
def test_a_url_of_another_kind_is_malformed(url: str) -> None:
    with pytest.raises(Malformed, match="sequencer URL"):
        Sequencer(url)
