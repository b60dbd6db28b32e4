"""Our L1 source against revm's blocks, as anvil serves them.

Without blobs: anvil takes over twenty seconds for its first. tests/unit has one of eth_account's.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from contracts.rpc import Rpc, connect
from rollup.sources.l1 import L1

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "tests/npm/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
CHAIN_ID = 31_337
INBOX = b"\xff" * 20
RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
PATIENCE = 60.0
FEES = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
# emits LOG1(topic 1) with the word 42 at creation
LOGGING = bytes.fromhex("602a5f52600160205fa100")

if not ANVIL.exists():
    if "CI" in os.environ:
        raise RuntimeError(f"{ANVIL} is not installed: npm ci --prefix tests/npm")
    pytest.skip("anvil is not installed (npm ci --prefix tests/npm)", allow_module_level=True)


@asynccontextmanager
async def anvil() -> AsyncIterator[Rpc]:
    """Prague, mining only when asked."""
    command = [str(ANVIL), "--port", "0", "--no-mining", "--chain-id", str(CHAIN_ID)]
    process = await trio.lowlevel.open_process(
        [*command, "--hardfork", "prague"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = b""
        with trio.fail_after(PATIENCE):
            while b"Listening on " not in told or not told.endswith(b"\n"):
                told += await process.stdout.receive_some()
        url = "http://" + told.split(b"Listening on ")[1].split()[0].decode()
        async with connect(url) as rpc:
            await rpc.call("anvil_setBalance", RICH.address, hex(10**24))
            yield rpc
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def signed(**fields: Any) -> bytes:
    values = {"chainId": CHAIN_ID, "value": 0, "gas": 300_000, **fields}
    return bytes(RICH.sign_transaction(values).raw_transaction)


async def mined(rpc: Rpc, *raws: bytes) -> bytes:
    """The hash of a block with all of them."""
    for raw in raws:
        await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    await rpc.call("evm_mine")
    block = await rpc.call("eth_getBlockByNumber", "latest", False)
    assert len(block["transactions"]) == len(raws)
    return bytes.fromhex(block["hash"][2:])


async def test_every_type_of_transaction_holds_against_the_hash() -> None:
    async with anvil() as rpc:
        access = [{"address": RICH.address, "storageKeys": ["0x" + "11" * 32]}]
        grant = RICH.sign_authorization({"chainId": CHAIN_ID, "address": b"\x77" * 20, "nonce": 9})
        raws = [
            signed(nonce=0, gasPrice=10**11, to=INBOX, data=b"\0frames"),
            signed(nonce=1, gasPrice=10**11, type=1, to=INBOX, accessList=access),
            signed(nonce=2, type=2, data=LOGGING, **FEES),
            signed(nonce=3, type=4, to=RICH.address, authorizationList=[grant], **FEES),
        ]
        block_hash = await mined(rpc, *raws)

        block = await L1(rpc).block(block_hash)

        assert [tx.hash for tx in block.transactions] == [keccak(raw) for raw in raws]
        assert {tx.sender for tx in block.transactions} == {bytes.fromhex(RICH.address[2:])}
        assert [(log.index, log.transaction) for log in block.logs] == [(0, 2)]
        assert block.ref == await L1(rpc).head("latest")
