"""A stranger's request leaves the others their turn: batches yield, filters hash once."""

import json
from typing import Any

import pytest
import trio

from rollup.engine import jsonrpc, logs
from rollup.engine.values import Log, bloom, bloom_bits


async def test_others_have_their_turn_between_the_calls_of_a_batch() -> None:
    """A batch of slow calls must not keep the driver waiting for all of them."""
    turns = []

    async def ask(name: str, params: list[Any]) -> Any:
        turns.append("call")
        return name

    async def driver() -> None:
        while True:
            turns.append("driver")
            await trio.lowlevel.checkpoint()

    body = json.dumps([{"jsonrpc": "2.0", "id": n, "method": "m"} for n in range(50)]).encode()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver)
        await jsonrpc.answer(ask, body)
        nursery.cancel_scope.cancel()

    assert turns.count("driver") >= 25


def test_a_filter_hashes_what_it_looks_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five thousand addresses and topics over five thousand headers took a minute."""
    asked = []
    real = bloom_bits

    def count(entry: bytes) -> int:
        asked.append(entry)
        return real(entry)

    monkeypatch.setattr(logs, "bloom_bits", count)
    there, absent = b"\x01" * 20, b"\x02" * 20
    topic = "0x" + "33" * 32
    wanted = logs.read_filter(
        {"address": ["0x" + there.hex(), "0x" + absent.hex()], "topics": [topic]}
    )
    seen = int.from_bytes(bloom([Log(there, (b"\x33" * 32,), b"")]), "big")
    other = int.from_bytes(bloom([Log(there, (b"\x34" * 32,), b"")]), "big")

    assert wanted.may_hold(seen)
    assert not wanted.may_hold(other)
    assert not wanted.may_hold(0)
    assert len(asked) == 3
    assert logs.read_filter({}).may_hold(0)
