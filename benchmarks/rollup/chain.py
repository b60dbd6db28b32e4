"""The chain that is built: its genesis, an L1 that gives it epochs, and who sequences it."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_hash.auto import keccak

from benchmarks.rollup.workload import CHAIN_ID, WETH, Wallets
from contracts.bedrock.genesis import L2Setup, l2_genesis
from rollup.codec.config import RollupConfig
from rollup.codec.config_parts import Genesis
from rollup.codec.l1_info import l2_ref
from rollup.codec.payload import ExecutionPayload, PayloadAttributes
from rollup.codec.refs import BlockId, L1Block, L1BlockRef, L2BlockRef
from rollup.codec.system_config import SystemConfig, encode_ecotone_scalar
from rollup.derive.attributes import build_attributes
from rollup.engine.execution import BEACON_ROOTS, BLOCK_HASHES

if TYPE_CHECKING:
    from benchmarks.rollup.peers import Engine

START, GAS_LIMIT = 1_700_000_000, 15_000_000
L1_SECONDS, L2_SECONDS = 12, 2
BATCHER, INBOX = b"\xba" * 20, b"\xff" * 20
FORKS = ("regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus")
L1_CONTRACTS = (
    *("L1CrossDomainMessenger", "L1StandardBridge", "L1CrossDomainMessengerProxy"),
    *("L1StandardBridgeProxy", "OptimismPortal", "SystemConfig", "L1ERC721Bridge"),
)


def genesis_files(folder: Path, wallets: Wallets) -> None:
    """`genesis.json`: of the testnet's L2, with rich wallets.

    The contracts of EIP-2935 and EIP-4788 are left out: anvil has other headers, so other hashes of
    them, and does not call the second.
    """
    setup = L2Setup(
        l1=dict.fromkeys(L1_CONTRACTS, b"\x01" * 20),
        owner=b"\x02" * 20,
        fee_recipient=b"\x03" * 20,
        timestamp=START,
        chain_id=CHAIN_ID,
        gas_limit=GAS_LIMIT,
    )
    value = l2_genesis(setup)
    for absent in (BEACON_ROOTS, BLOCK_HASHES):
        del value["alloc"]["0x" + absent.hex()]
    for address in wallets.addresses:
        value["alloc"]["0x" + address.hex()] = {"balance": hex(10**24)}
    token = value["alloc"]["0x" + WETH.hex()]
    token["storage"] = dict(token.get("storage", {})) | wallets.token_balances()
    (folder / "genesis.json").write_text(json.dumps(value))


def l1_chain(length: int) -> list[L1Block]:
    blocks: list[L1Block] = []
    parent = bytes(32)
    for number in range(length):
        ref = L1BlockRef(keccak(b"L1 %d" % number), number, parent, START + L1_SECONDS * number)
        blocks.append(L1Block(ref, 10**9, 1, keccak(ref.hash), keccak(parent), (), ()))
        parent = ref.hash
    return blocks


@dataclass
class Sequencer:
    """Says what each block must begin with, and remembers what became of it."""

    engine: "Engine"
    l1: list[L1Block] = field(default_factory=lambda: l1_chain(10_000))
    blocks: list[tuple[L2BlockRef, ExecutionPayload]] = field(default_factory=list)
    transactions: int = 0

    def __post_init__(self) -> None:
        scalar = encode_ecotone_scalar(1_368, 810_949)
        self.system_config = SystemConfig(BATCHER, bytes(32), scalar, GAS_LIMIT)
        first = BlockId(self.engine.head, 0)
        genesis = Genesis(self.l1[0].ref.id, first, START, self.system_config)
        active: dict[str, Any] = {f"{fork}_time": 0 for fork in FORKS}
        self.config = RollupConfig(
            *(genesis, L2_SECONDS, 600, 3600, 300, 900, CHAIN_ID, INBOX, b"\x9f" * 20),
            l1_system_config_address=b"\x5c" * 20,
            **active,
        )
        self.genesis = L2BlockRef(first.hash, 0, bytes(32), START, self.l1[0].ref.id, 0)

    @property
    def parent(self) -> L2BlockRef:
        return self.blocks[-1][0] if self.blocks else self.genesis

    def attributes(self) -> PayloadAttributes:
        """For the next block; it may take from the pool."""
        parent = self.parent
        following = self.l1[parent.l1_origin.number + 1]
        moves = following.ref.time <= parent.time + L2_SECONDS
        epoch = following if moves else self.l1[parent.l1_origin.number]
        found = build_attributes(self.config, self.system_config, parent, epoch)
        return replace(found, no_tx_pool=False)

    def follow(self) -> None:
        """The engine has built and imported the block."""
        payload, parent = self.engine.last, self.parent
        ref = l2_ref(
            payload.block_hash,
            payload.block_number,
            parent.hash,
            payload.timestamp,
            payload.transactions[0],
            self.config,
        )
        self.blocks.append((ref, payload))
        self.transactions += len(payload.transactions)
