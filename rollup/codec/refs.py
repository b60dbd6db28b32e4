"""References to blocks of both layers, and the part of an L1 block from which the L2 is derived."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block by hash (32 bytes) and number."""

    hash: bytes
    number: int


@dataclass(frozen=True, slots=True)
class L1BlockRef:
    """Where an L1 block stands in its chain; `time` in seconds."""

    hash: bytes
    number: int
    parent_hash: bytes
    time: int

    @property
    def id(self) -> BlockId:
        return BlockId(self.hash, self.number)


@dataclass(frozen=True, slots=True)
class L2BlockRef:
    """Where an L2 block stands; `sequence_number` counts the blocks since its L1 origin changed."""

    hash: bytes
    number: int
    parent_hash: bytes
    time: int
    l1_origin: BlockId
    sequence_number: int

    @property
    def id(self) -> BlockId:
        return BlockId(self.hash, self.number)


@dataclass(frozen=True, slots=True)
class L1Transaction:
    """A transaction on L1 of EIP-2718 type `kind`; `to` is empty when it creates a contract,
    `sender` is recovered."""

    hash: bytes
    sender: bytes
    to: bytes
    data: bytes
    blob_hashes: tuple[bytes, ...] = ()
    kind: int = 0


@dataclass(frozen=True, slots=True)
class L1Log:
    """A log of a transaction that succeeded; `index` is its number in the whole block.

    `transaction` is the number of its transaction in the block, where the source tells it.
    """

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    index: int
    transaction: int = -1


@dataclass(frozen=True, slots=True)
class L1Block:
    """What derivation reads of one L1 block, in block order; fees in wei."""

    ref: L1BlockRef
    base_fee: int
    blob_base_fee: int
    mix_hash: bytes
    parent_beacon_root: bytes
    transactions: tuple[L1Transaction, ...]
    logs: tuple[L1Log, ...]
