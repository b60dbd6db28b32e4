"""Calls about states that are no longer kept: an answer in words, never the end of the process."""

from pathlib import Path

import pytest

from rollup.engine.errors import CorruptStore, Failure
from rollup.engine.kv import STATE_PREFIX
from tests.net.engine_process import RICH
from tests.net.engine_served import served


async def forget(folder: Path, *, root_too: bool) -> None:
    """Two blocks; then the trie of block 1, which has three accounts, loses all below its root."""
    async with served(folder) as one:
        for nonce in (0, 1):
            await one.send(nonce, to=b"\x99" * 20, gas=21_000)
            await one.build()
        chain = one.methods.lookup.chain
        first = chain.blocks.header(1)
        assert first is not None
        kept = {chain.head.header.state_root} | (set() if root_too else {first.state_root})
        for name, _ in list(chain.store.scan(STATE_PREFIX, STATE_PREFIX + b"\xff" * 33)):
            if name[len(STATE_PREFIX) :] not in kept:
                chain.store.write({name: None})


CALLS = (
    ("eth_getBalance", RICH.address, "0x1"),
    ("eth_getProof", RICH.address, ["0x0"], "0x1"),
    ("eth_call", {"to": RICH.address, "data": "0x01"}, "0x1"),
    ("eth_estimateGas", {"to": RICH.address, "data": "0x01"}, "0x1"),
    ("eth_createAccessList", {"to": RICH.address}, "0x1"),
)


async def test_a_state_that_was_dropped_is_named(tmp_path: Path) -> None:
    """In geth's words; blocks, receipts and logs of that time are still there."""
    await forget(tmp_path, root_too=True)
    async with served(tmp_path) as one:
        for method, *params in CALLS:
            with pytest.raises(Failure, match="missing trie node"):
                await one.call(method, *params)
        assert (await one.call("eth_getBlockByNumber", "0x1", True))["number"] == "0x1"
        assert await one.call("eth_getLogs", {"fromBlock": "0x0"}) == []


async def test_a_state_dropped_under_a_call_ends_that_call_only(tmp_path: Path) -> None:
    """With pruning; without it a hole in the state is damage, and nothing is served over it."""
    await forget(tmp_path, root_too=False)
    async with served(tmp_path) as one:
        chain = one.methods.lookup.chain
        chain.keep_states = 64
        for method, *params in CALLS:
            with pytest.raises(Failure, match="missing trie node"):
                await one.call(method, *params)
        chain.keep_states = 0
        for method, *params in CALLS:
            with pytest.raises(CorruptStore):
                await one.call(method, *params)
