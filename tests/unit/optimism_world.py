"""A small OP Stack chain in this process: a genesis, an engine, and who drives it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from rollup.codec.deposit import DepositTransaction
from rollup.engine.chain import Chain
from rollup.engine.engine_api import EngineApi
from rollup.engine.forkchoice import Forkchoice
from rollup.engine.genesis import Genesis, parse
from rollup.engine.kv import KeyValues
from rollup.engine.mempool import Mempool
from rollup.engine.op import (
    BASE_FEE_VAULT,
    L1_BLOCK,
    L1_FEE_VAULT,
    MESSAGE_PASSER,
    OPERATOR_FEE_VAULT,
)
from rollup.engine.transaction import Transaction, decode

CHAIN_ID = 901
START = 1_700_000_000
GAS_LIMIT = 15_000_000
ETHER = 10**18
RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
RICH_ADDRESS = bytes.fromhex(RICH.address[2:])
SEQUENCER_VAULT = bytes.fromhex("4200000000000000000000000000000000000011")
DEPOSITOR = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead0001")
BASE_FEE, BLOB_FEE = 7 * 10**9, 12_345
BASE_SCALAR, BLOB_SCALAR = 1_368, 810_949
OPERATOR_SCALAR, OPERATOR_CONSTANT = 250, 777
VAULTS = (SEQUENCER_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT)
ZERO = "0x" + "00" * 32
PARAMS = "0x000000fa00000006"


def genesis(fork: str = "isthmus", **accounts: Any) -> Genesis:
    return parse(genesis_json(fork, **accounts))


def genesis_json(fork: str = "isthmus", **accounts: Any) -> dict[str, Any]:
    """`accounts` by hex address; L1Block has its values, and no code, so that they stay."""
    times = {"holoceneTime": 0}
    times |= {} if fork == "holocene" else {"isthmusTime": 0}
    times |= {"jovianTime": 0} if fork == "jovian" else {}
    extra = "0x01000000fa000000060000000000000000" if fork == "jovian" else "0x00000000fa00000006"
    slots = {
        1: BASE_FEE,
        3: BASE_SCALAR << 96 | BLOB_SCALAR << 64,
        7: BLOB_FEE,
        8: OPERATOR_SCALAR << 64 | OPERATOR_CONSTANT,
    }
    alloc: dict[str, Any] = {
        "0x" + L1_BLOCK.hex(): {
            "balance": "0x1",
            "storage": {hex(k): hex(v) for k, v in slots.items()},
        },
        "0x" + MESSAGE_PASSER.hex(): {"balance": "0x1", "storage": {"0x1": "0x2"}},
        RICH.address.lower(): {"balance": hex(1_000 * ETHER)},
    }
    alloc |= {"0x" + vault.hex(): {"balance": "0x0", "nonce": "0x1"} for vault in VAULTS}
    alloc |= accounts
    optimism = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}
    return {
        "config": {"chainId": CHAIN_ID, "optimism": optimism, **times},
        "timestamp": hex(START),
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": hex(10**9),
        "extraData": extra,
        "alloc": alloc,
    }


def deposit(number: int = 0, **fields: Any) -> bytes:
    """A deposit; by default one like the L1 attributes that open each block."""
    values: dict[str, Any] = {
        "source_hash": number.to_bytes(32, "big"),
        "sender": DEPOSITOR,
        "to": b"\x77" * 20,
        "mint": 0,
        "value": 0,
        "gas": 1_000_000,
        "is_system": False,
        "data": b"",
        **fields,
    }
    return DepositTransaction(**values).encode()


def signed(nonce: int, **fields: Any) -> bytes:
    values = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": b"\x99" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9,
        **fields,
    }
    values = {key: value for key, value in values.items() if value is not None}
    return bytes(RICH.sign_transaction(values).raw_transaction)


@dataclass
class Node:
    """An engine without its process, driven by the JSON of the Engine API."""

    store: KeyValues
    chain: Chain
    pool: Mempool
    forkchoice: Forkchoice
    fork: str
    version: str = "v4"
    calls: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calls = EngineApi(self.forkchoice, self.chain.rules).methods()
        self.version = "V3" if self.fork == "holocene" else "V4"

    def attributes(self, parent: Any = None, **changes: Any) -> dict[str, Any]:
        header = (parent or self.chain.head).header
        number = header.number + 1
        value: dict[str, Any] = {
            "timestamp": hex(header.timestamp + 2),
            "prevRandao": "0x" + "22" * 32,
            "suggestedFeeRecipient": "0x" + SEQUENCER_VAULT.hex(),
            "withdrawals": [],
            "parentBeaconBlockRoot": "0x" + "33" * 32,
            "transactions": ["0x" + deposit(number).hex()],
            "noTxPool": False,
            "gasLimit": hex(GAS_LIMIT),
            "eip1559Params": PARAMS,
        }
        if self.fork == "jovian":
            value["minBaseFee"] = 0
        return value | changes

    async def update(self, head: str, attributes: Any = None, **others: str) -> Any:
        state = {
            "headBlockHash": head,
            "safeBlockHash": others.get("safe", ZERO),
            "finalizedBlockHash": others.get("finalized", ZERO),
        }
        return await self.calls["engine_forkchoiceUpdatedV3"](state, attributes)

    async def get(self, payload_id: str) -> Any:
        return await self.calls["engine_getPayload" + self.version](payload_id)

    async def new(self, payload: Any, root: str = "0x" + "33" * 32) -> Any:
        requests = [] if self.version == "V3" else [[]]
        return await self.calls["engine_newPayload" + self.version](payload, [], root, *requests)

    async def begin(self, parent: str | None = None, **changes: Any) -> str:
        """Go to `parent` and begin a block on it."""
        head = parent or "0x" + self.chain.head.hash.hex()
        block = self.chain.blocks.by_hash(bytes.fromhex(head[2:]))
        answer = await self.update(head, self.attributes(block, **changes))
        assert answer["payloadStatus"]["status"] == "VALID"
        return str(answer["payloadId"])

    async def build(self, parent: str | None = None, **changes: Any) -> Any:
        """A payload on `parent`, stored but not the head."""
        payload = (await self.get(await self.begin(parent, **changes)))["executionPayload"]
        assert (await self.new(payload))["status"] == "VALID"
        return payload

    async def extend(self, **changes: Any) -> Any:
        """The same as the head."""
        payload = await self.build(**changes)
        await self.update(payload["blockHash"])
        return payload

    def pooled(self, *raws: bytes) -> list[Transaction]:
        found = [decode(raw, CHAIN_ID) for raw in raws]
        for transaction in found:
            self.pool.add(transaction, 0)
        return found

    def balance(self, address: bytes) -> int:
        return int(self.chain.state(self.chain.head.header).get_balance(address))


@contextmanager
def node(folder: Path, fork: str = "isthmus", **accounts: Any) -> Iterator[Node]:
    store = KeyValues(folder)
    chain, pool = Chain(store, genesis(fork, **accounts)), Mempool()
    try:
        yield Node(store, chain, pool, Forkchoice(chain, pool), fork)
    finally:
        store.close()
