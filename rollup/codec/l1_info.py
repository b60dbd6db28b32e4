"""The L1 attributes: the first transaction of every L2 block, which says what L1 looked like.

specs.optimism.io/protocol/deposits.html#l1-attributes-deposited-transaction and the forks' pages.
"""

import struct
from dataclasses import dataclass, replace
from typing import Final, Self

from eth_hash.auto import keccak

from protocol.codec import require, require_uint, word
from protocol.errors import Malformed
from rollup.codec.config import RollupConfig
from rollup.codec.deposit import DepositTransaction, l1_info_source
from rollup.codec.header import decode_extra
from rollup.codec.refs import BlockId, L1Block, L2BlockRef
from rollup.codec.system_config import (
    SystemConfig,
    encode_ecotone_scalar,
    encode_operator_fee,
)
from rollup.codec.words import WordReader

DEPOSITOR: Final = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead0001")
L1_BLOCK: Final = bytes.fromhex("4200000000000000000000000000000000000015")
GAS_BEDROCK: Final = 150_000_000
GAS_REGOLITH: Final = 1_000_000
DA_FOOTPRINT_GAS_SCALAR_DEFAULT: Final = 400
BLOB_BASE_FEE_MIN: Final = 1  # wei, EIP-4844

SELECTORS: Final = {
    "bedrock": keccak(
        b"setL1BlockValues(uint64,uint64,uint256,bytes32,uint64,bytes32,uint256,uint256)"
    )[:4],
    "ecotone": keccak(b"setL1BlockValuesEcotone()")[:4],
    "isthmus": keccak(b"setL1BlockValuesIsthmus()")[:4],
    "jovian": keccak(b"setL1BlockValuesJovian()")[:4],
}
FORK_OF: Final = {selector: fork for fork, selector in SELECTORS.items()}
SCALARS: Final = struct.Struct(">IIQQQ")  # base fee, blob base fee, sequence, time, number
BITS: Final = {
    **dict.fromkeys(("number", "time", "sequence_number", "operator_fee_constant"), 64),
    **dict.fromkeys(("base_fee", "blob_base_fee", "overhead", "scalar"), 256),
    **dict.fromkeys(("base_fee_scalar", "blob_base_fee_scalar", "operator_fee_scalar"), 32),
    "da_footprint_gas_scalar": 16,
}
# What each layout holds besides number, time, base_fee, hash, sequence_number and batcher.
ECOTONE: Final = ("blob_base_fee", "base_fee_scalar", "blob_base_fee_scalar")
ISTHMUS: Final = (*ECOTONE, "operator_fee_scalar", "operator_fee_constant")
HOLDS: Final = {
    "bedrock": ("overhead", "scalar"),
    "ecotone": ECOTONE,
    "isthmus": ISTHMUS,
    "jovian": (*ISTHMUS, "da_footprint_gas_scalar"),
}
OPTIONAL: Final = frozenset(name for held in HOLDS.values() for name in held)


@dataclass(frozen=True, slots=True)
class L1Info:
    """One L1 block as the L2 sees it; fees in wei, what the layout does not hold is zero."""

    fork: str  # the layout: bedrock, ecotone, isthmus or jovian
    number: int
    time: int
    base_fee: int
    hash: bytes
    sequence_number: int
    batcher: bytes
    overhead: int = 0
    scalar: int = 0
    blob_base_fee: int = 0
    base_fee_scalar: int = 0
    blob_base_fee_scalar: int = 0
    operator_fee_scalar: int = 0
    operator_fee_constant: int = 0
    da_footprint_gas_scalar: int = 0

    def __post_init__(self) -> None:
        require(self.fork in SELECTORS, f"unknown layout {self.fork}")
        require(len(self.hash) == 32 and len(self.batcher) == 20, "hash or batcher of another size")
        for name, bits in BITS.items():
            require_uint(getattr(self, name), bits, name)
        for name in OPTIONAL.difference(HOLDS[self.fork]):
            require(getattr(self, name) == 0, f"{name} in the layout of {self.fork}")

    def encode(self) -> bytes:
        """The call's data."""
        selector = SELECTORS[self.fork]
        batcher = word(self.batcher)
        if self.fork == "bedrock":
            head = word(self.number) + word(self.time) + word(self.base_fee) + self.hash
            tail = word(self.sequence_number) + batcher + word(self.overhead) + word(self.scalar)
            return selector + head + tail
        scalars = SCALARS.pack(
            self.base_fee_scalar,
            self.blob_base_fee_scalar,
            self.sequence_number,
            self.time,
            self.number,
        )
        data = scalars + word(self.base_fee) + word(self.blob_base_fee) + self.hash + batcher
        if self.fork != "ecotone":
            data += struct.pack(">IQ", self.operator_fee_scalar, self.operator_fee_constant)
        if self.fork == "jovian":
            data += struct.pack(">H", self.da_footprint_gas_scalar)
        return selector + data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the call's data, whose selector tells the layout; `Malformed` else."""
        fork = FORK_OF.get(data[:4])
        if fork is None:
            raise Malformed("L1 attributes of an unknown layout")
        words = WordReader(data[4:])
        info = cls._bedrock(words) if fork == "bedrock" else cls._packed(words, fork)
        words.end()
        return info

    @classmethod
    def _bedrock(cls, words: WordReader) -> Self:
        number, time, base_fee = words.word_uint(64), words.word_uint(64), words.word_uint(256)
        block_hash, sequence_number = words.word(), words.word_uint(64)
        batcher, overhead, scalar = words.word_address(), words.uint(32), words.uint(32)
        return cls(
            *("bedrock", number, time, base_fee, block_hash, sequence_number, batcher),
            overhead=overhead,
            scalar=scalar,
        )

    @classmethod
    def _packed(cls, words: WordReader, fork: str) -> Self:
        base_fee_scalar, blob_scalar, sequence, time, number = SCALARS.unpack(
            words.take(SCALARS.size)
        )
        base_fee, blob_base_fee = words.uint(32), words.uint(32)
        block_hash, batcher = words.word(), words.word_address()
        is_isthmus = fork != "ecotone"
        return cls(
            *(fork, number, time, base_fee, block_hash, sequence, batcher),
            blob_base_fee=blob_base_fee,
            base_fee_scalar=base_fee_scalar,
            blob_base_fee_scalar=blob_scalar,
            operator_fee_scalar=words.uint(4) if is_isthmus else 0,
            operator_fee_constant=words.uint(8) if is_isthmus else 0,
            da_footprint_gas_scalar=words.uint(2) if fork == "jovian" else 0,
        )


def layout_at(config: RollupConfig, l2_time: int) -> str:
    """The layout that an L2 block at `l2_time` uses.

    The first block of a fork keeps the layout before, since it is the block that deploys the
    contract for the new one; a fork at genesis has no such block.
    """
    for fork in ("jovian", "isthmus", "ecotone"):
        if config.is_active(fork, l2_time) and not config.is_activation(fork, l2_time):
            return fork
    return "bedrock"


def l1_info(
    config: RollupConfig,
    system_config: SystemConfig,
    sequence_number: int,
    block: L1Block,
    l2_time: int,
) -> L1Info:
    """What the L2 block at `l2_time` says of its L1 origin; `Malformed` for an unknown scalar."""
    ref, batcher = block.ref, system_config.batcher
    known = (ref.number, ref.time, block.base_fee, ref.hash, sequence_number, batcher)
    layout = layout_at(config, l2_time)
    if layout == "bedrock":
        overhead = int.from_bytes(system_config.overhead, "big")
        scalar = int.from_bytes(system_config.scalar, "big")
        return L1Info(layout, *known, overhead=overhead, scalar=scalar)
    base_fee_scalar, blob_base_fee_scalar = system_config.ecotone_scalars()
    footprint = system_config.da_footprint_gas_scalar or DA_FOOTPRINT_GAS_SCALAR_DEFAULT
    is_isthmus = layout != "ecotone"
    return L1Info(
        layout,
        *known,
        blob_base_fee=block.blob_base_fee or BLOB_BASE_FEE_MIN,
        base_fee_scalar=base_fee_scalar,
        blob_base_fee_scalar=blob_base_fee_scalar,
        operator_fee_scalar=system_config.operator_fee_scalar if is_isthmus else 0,
        operator_fee_constant=system_config.operator_fee_constant if is_isthmus else 0,
        da_footprint_gas_scalar=footprint if layout == "jovian" else 0,
    )


def l1_info_deposit(
    config: RollupConfig,
    system_config: SystemConfig,
    sequence_number: int,
    block: L1Block,
    l2_time: int,
) -> DepositTransaction:
    """The first transaction of the L2 block at `l2_time` in the epoch of L1 block `block`."""
    is_regolith = config.is_active("regolith", l2_time)
    return DepositTransaction(
        source_hash=l1_info_source(block.ref.hash, sequence_number),
        sender=DEPOSITOR,
        to=L1_BLOCK,
        mint=0,
        value=0,
        gas=GAS_REGOLITH if is_regolith else GAS_BEDROCK,
        is_system=not is_regolith,
        data=l1_info(config, system_config, sequence_number, block, l2_time).encode(),
    )


def l1_info_of(first_transaction: bytes, l2_time: int, config: RollupConfig) -> L1Info:
    """What an L2 block at `l2_time` says of L1, from its first transaction; `Malformed` else."""
    info = L1Info.decode(DepositTransaction.decode(first_transaction).data)
    layout = layout_at(config, l2_time)
    require(info.fork == layout, f"L1 attributes of {info.fork} in a block of {layout}")
    return info


def l2_ref(
    header_hash: bytes,
    number: int,
    parent_hash: bytes,
    time: int,
    first_transaction: bytes,
    config: RollupConfig,
) -> L2BlockRef:
    """Where an L2 block stands; the genesis has no transaction to tell, so the chain's does."""
    if number == config.genesis.l2.number:
        require(header_hash == config.genesis.l2.hash, "another genesis than the chain's")
        return L2BlockRef(header_hash, number, parent_hash, time, config.genesis.l1, 0)
    info = l1_info_of(first_transaction, time, config)
    origin = BlockId(info.hash, info.number)
    return L2BlockRef(header_hash, number, parent_hash, time, origin, info.sequence_number)


def l2_system_config(
    header_hash: bytes,
    number: int,
    time: int,
    gas_limit: int,
    extra_data: bytes,
    first_transaction: bytes,
    config: RollupConfig,
) -> SystemConfig:
    """The parameters under which an L2 block was built, as the block itself shows them.

    (op-node's PayloadToSystemConfig.)  The batcher of the next origin may differ already.
    """
    if number == config.genesis.l2.number:
        require(header_hash == config.genesis.l2.hash, "another genesis than the chain's")
        return config.genesis.system_config
    info = l1_info_of(first_transaction, time, config)
    found = SystemConfig(
        batcher=info.batcher,
        overhead=word(info.overhead),
        scalar=word(info.scalar)
        if info.fork == "bedrock"
        else encode_ecotone_scalar(info.base_fee_scalar, info.blob_base_fee_scalar),
        gas_limit=gas_limit,
        operator_fee_params=encode_operator_fee(
            info.operator_fee_scalar, info.operator_fee_constant
        ),
        da_footprint_gas_scalar=info.da_footprint_gas_scalar,
    )
    if not config.is_active("holocene", time):
        return found
    denominator, elasticity, min_base_fee = decode_extra(extra_data)
    is_jovian = config.is_active("jovian", time)
    require((min_base_fee is not None) == is_jovian, "extra data of another fork")
    params = struct.pack(">II", denominator, elasticity)
    return replace(found, eip1559_params=params, min_base_fee=min_base_fee or 0)
