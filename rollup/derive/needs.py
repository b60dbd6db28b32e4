"""What derivation asks of the world, and what it gives: plain values, no I/O."""

from dataclasses import dataclass

from rollup.codec.payload import PayloadAttributes
from rollup.codec.refs import L1BlockRef, L2BlockRef


@dataclass(frozen=True, slots=True)
class NeedL1:
    """The next L1 block; answer by `add_l1`, with None while there is none yet."""

    number: int
    parent_hash: bytes


@dataclass(frozen=True, slots=True)
class NeedL2:
    """A block of the safe chain by its number; answer by `add_l2`."""

    number: int


@dataclass(frozen=True, slots=True)
class NeedL2Block:
    """The same with its transactions, to compare it with a span batch that overlaps it; answer by
    `add_l2_block`."""

    number: int


@dataclass(frozen=True, slots=True)
class NeedData:
    """What an alt-DA commitment (without the leading 0x01) stands for; answer by `add_data`."""

    commitment: bytes


@dataclass(frozen=True, slots=True)
class NeedBlobs:
    """Blobs that an L1 block carries, by versioned hash, in this order; answer by `add_blobs`."""

    block: L1BlockRef
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NeedTime:
    """Nothing is lacking, but the next step may take seconds: take it where that stalls nobody."""


Need = NeedL2 | NeedL2Block | NeedData | NeedBlobs | NeedTime  # what a stage in the middle may lack


@dataclass(frozen=True, slots=True)
class Attributes:
    """One L2 block to build or to find equal, safe then: derived from L1 up to and with
    `derived_from`."""

    parent: L2BlockRef
    attributes: PayloadAttributes
    derived_from: L1BlockRef
