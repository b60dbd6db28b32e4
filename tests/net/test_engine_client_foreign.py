"""Our Engine API client against another team's engine: `@ethereumjs/client`, an L1 of Cancun."""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from contracts.rpc import Rpc
from protocol.errors import Malformed, NodeError, Reset, Temporary
from rollup.codec.payload import ExecutionPayload, PayloadAttributes
from rollup.engine.jwt import token
from rollup.ports import INVALID, SYNCING, VALID, InvalidAttributes
from rollup.sources.engine import EngineClient
from rollup.sources.l1 import L1
from tests.derive_world import make_config

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "tests/npm/node_modules/@ethereumjs/client/dist/esm/bin/cli.js"
CHAIN_ID = 1337
PATIENCE = 90.0
RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
OPTIMISM = ("transactions", "noTxPool", "gasLimit", "eip1559Params", "minBaseFee")
BEACON_ROOT = b"\x22" * 32
# EIP-4788: where each block's beacon root is kept
BEACON_ADDRESS = "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"
BEACON_CODE = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762"
    "001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062"
    "001fff015500"
)

if not CLIENT.exists():
    if "CI" in os.environ:
        raise RuntimeError(f"{CLIENT} is not installed: npm ci --prefix tests/npm")
    pytest.skip("@ethereumjs/client is not installed", allow_module_level=True)


def genesis(*, prague: bool) -> dict[str, Any]:
    blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin"
    config: dict[str, Any] = {
        f"{name}Block": 0 for name in f"{blocks} london mergeNetsplit".split()
    }
    schedule = {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}}
    config |= {"chainId": CHAIN_ID, "shanghaiTime": 0, "cancunTime": 0, "blobSchedule": schedule}
    config |= {"terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True}
    if prague:
        schedule["prague"] = {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716}
        config["pragueTime"] = 0
    return {
        "config": config,
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x",
        "gasLimit": hex(60_000_000),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": "0x" + "00" * 20,
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": "0x" + "00" * 32,
        "baseFeePerGas": hex(10**9),
        "alloc": {
            RICH.address: {"balance": hex(10**24)},
            BEACON_ADDRESS: {"balance": "0x0", "nonce": "0x1", "code": BEACON_CODE},
        },
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class WithoutOptimism:
    """An engine of L1 takes no attributes that OP Stack adds; the rest goes through untouched."""

    rpc: Rpc

    async def call(self, method: str, *params: Any) -> Any:
        if method == "engine_forkchoiceUpdatedV3" and params[1] is not None:
            kept = {name: value for name, value in params[1].items() if name not in OPTIMISM}
            params = (params[0], kept)
        return await self.rpc.call(method, *params)


@dataclass
class Foreign:
    rpc: Rpc
    engine: EngineClient
    unauthorized: Rpc
    head: bytes

    def attributes(self, timestamp: int) -> PayloadAttributes:
        return PayloadAttributes(
            timestamp=timestamp,
            prev_randao=b"\x33" * 32,
            fee_recipient=b"\x44" * 20,
            parent_beacon_block_root=BEACON_ROOT,
            transactions=(),
            no_tx_pool=False,
            gas_limit=60_000_000,
            eip1559_params=None,
        )

    async def build(self, timestamp: int) -> Any:
        choice = await self.engine.forkchoice(
            self.head, self.head, bytes(32), self.attributes(timestamp)
        )
        assert choice.status.status == VALID
        assert choice.payload_id is not None
        return await self.engine.get_payload(choice.payload_id)


@asynccontextmanager
async def foreign(folder: Path, *, prague: bool = False) -> AsyncIterator[Foreign]:
    (folder / "genesis.json").write_text(json.dumps(genesis(prague=prague)))
    secret = secrets.token_bytes(32)
    (folder / "jwt.hex").write_text("0x" + secret.hex())
    port, engine_port = free_port(), free_port()
    options = {
        "gethGenesis": folder / "genesis.json",
        "dataDir": folder / "data",
        "rpcAddr": "127.0.0.1",
        "rpcPort": port,
        "rpcEngineAddr": "127.0.0.1",
        "rpcEnginePort": engine_port,
        "jwtSecret": folder / "jwt.hex",
        "sync": "none",
        "isSingleNode": "true",
        "logLevel": "error",
        "logFile": "false",
        "discDns": "false",
        "discV4": "false",
        "maxPeers": 0,
        "port": free_port(),
        "extIP": "127.0.0.1",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = _start(words, folder)
    try:
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            rpc = Rpc(client, f"http://127.0.0.1:{port}")
            url = f"http://127.0.0.1:{engine_port}"
            authorized = Rpc(client, url, bearer=lambda: token(secret, time.time()))
            head = await _ready(rpc, process, folder)
            isthmus = {} if prague else {"isthmus_time": None}
            engine = EngineClient(WithoutOptimism(authorized), make_config(**isthmus))
            yield Foreign(rpc, engine, Rpc(client, url), head)
    finally:
        process.terminate()
        process.wait(20)


def _start(words: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["node", str(CLIENT), "--rpc", "--rpcEngine", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )


async def _ready(rpc: Rpc, process: "subprocess.Popen[bytes]", folder: Path) -> bytes:
    """The hash of its head, once it answers."""
    with trio.fail_after(PATIENCE):
        while True:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                block = await rpc.call("eth_getBlockByNumber", "latest", False)
            except NodeError:
                await trio.sleep(0.2)
                continue
            return bytes.fromhex(block["hash"][2:])


async def test_a_cancun_chain_built_block_by_block(tmp_path: Path) -> None:
    """Build, import, make it the head; what it then shows is what was built, by our own hash."""
    async with foreign(tmp_path) as other:
        sent = RICH.sign_transaction(
            {
                "chainId": CHAIN_ID,
                "type": 2,
                "nonce": 0,
                "to": b"\x99" * 20,
                "value": 5,
                "gas": 21_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        ).raw_transaction
        await other.rpc.call("eth_sendRawTransaction", "0x" + sent.hex())

        envelope = await other.build(12)
        status = await other.engine.new_payload(envelope)
        block_hash = envelope.payload.block_hash
        choice = await other.engine.forkchoice(block_hash, block_hash, bytes(32))

        assert envelope.hash_fits()
        assert envelope.payload.transactions == (bytes(sent),)
        assert (status.status, choice.status.status) == (VALID, VALID)
        assert await other.engine.payload(block_hash) == envelope


async def test_l1_is_read_from_it_by_hash(tmp_path: Path) -> None:
    """The same program as an L1: header, transactions and receipts hold against the hash."""
    async with foreign(tmp_path) as other:
        envelope = await other.build(12)
        await other.engine.new_payload(envelope)
        await other.engine.forkchoice(envelope.payload.block_hash, other.head, bytes(32))
        l1 = L1(other.rpc)

        block = await l1.block(envelope.payload.block_hash)

        assert block.ref.number == 1
        assert block.ref == await l1.head("latest")
        assert block.base_fee == envelope.payload.base_fee_per_gas


async def test_prague_goes_by_the_fourth_version(tmp_path: Path) -> None:
    async with foreign(tmp_path, prague=True) as other:
        envelope = await other.build(12)

        assert (await other.engine.new_payload(envelope)).status == VALID
        block_hash = envelope.payload.block_hash
        choice = await other.engine.forkchoice(block_hash, block_hash, bytes(32))
        assert choice.status.status == VALID


async def test_what_it_refuses_is_sorted(tmp_path: Path) -> None:
    """One start for all: it takes seconds."""
    async with foreign(tmp_path) as other:
        envelope = await other.build(12)
        payload = envelope.payload

        unknown = await other.engine.forkchoice(b"\x01" * 32, bytes(32), bytes(32))
        assert unknown.status.status == SYNCING
        lie = _rehashed(replace(payload, state_root=b"\x05" * 32))
        answer = await other.engine.new_payload(replace(envelope, payload=lie))
        assert answer.status == INVALID
        orphan = _rehashed(replace(payload, parent_hash=b"\x06" * 32))
        answer = await other.engine.new_payload(replace(envelope, payload=orphan))
        assert answer.status in (SYNCING, "ACCEPTED")
        with pytest.raises(Temporary):
            await other.engine.get_payload(b"\x07" * 8)
        with pytest.raises((InvalidAttributes, Temporary, Reset)):
            await other.build(0)  # not after its parent
        with pytest.raises((Temporary, Malformed)):
            await other.unauthorized.call("engine_exchangeCapabilities", [])


def _rehashed(payload: ExecutionPayload) -> ExecutionPayload:
    return replace(payload, block_hash=payload.compute_hash(BEACON_ROOT))
