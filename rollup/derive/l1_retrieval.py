"""L1 retrieval: what the batcher wrote in one L1 block, as calldata, blobs or commitments.

Source: specs, protocol/derivation.md "L1 Retrieval", ecotone/derivation.md "Blob Retrieval",
experimental/alt-da.md; op-node's calldata, blob and alt-DA data sources.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import Malformed, Reset
from rollup.codec.blob import decode_blob
from rollup.codec.commitment import COMMITMENT_VERSION, KeccakCommitment, decode_commitment
from rollup.codec.config import RollupConfig
from rollup.codec.config_parts import KECCAK_COMMITMENT
from rollup.codec.refs import L1Block, L1BlockRef
from rollup.derive.needs import Need, NeedBlobs, NeedData

# specs, derivation.md "L1 Retrieval": no type after blobs counts, but deposits where L1 is an L2
BATCHER_KINDS: Final = (0, 1, 2, 3, 0x7E)
KECCAK_INPUT_BYTES_MAX: Final = 130_672  # what the challenge contract can resolve, op-alt-da


@dataclass(frozen=True, slots=True)
class _Blob:
    """Where the data of a blob belongs, once it is there."""

    hash: bytes


def _inputs(config: RollupConfig, block: L1Block, batcher: bytes) -> Iterator[bytes | _Blob]:
    """What the batcher sent to the inbox, in order; a blob transaction's calldata is ignored.

    Whether the transaction succeeded does not matter, only that it is in the block.
    """
    for transaction in block.transactions:
        if transaction.to != config.batch_inbox_address or transaction.sender != batcher:
            continue
        if transaction.kind not in BATCHER_KINDS:
            continue
        if transaction.blob_hashes:
            yield from (_Blob(each) for each in transaction.blob_hashes)
        else:
            yield transaction.data


class L1Retrieval:
    """Holds the batcher's inputs of one L1 block; bounded by what one L1 block can hold."""

    def __init__(self, config: RollupConfig) -> None:
        self._config = config
        self._block: L1BlockRef | None = None
        self._inputs: deque[bytes | _Blob] = deque()
        self._commitment: bytes | None = None  # asked for, not answered
        self._answer: bytes | None = None

    def open(self, block: L1Block, batcher: bytes) -> None:
        self._block = block.ref
        self._inputs = deque(_inputs(self._config, block, batcher))
        self._commitment = self._answer = None

    def next(self) -> bytes | Need | None:
        """The next batcher data, not empty; None when this L1 block has no more."""
        while self._commitment is None:
            if self._answer is not None:
                data, self._answer = self._answer, None
                return data
            if not self._inputs:
                return None
            if any(isinstance(each, _Blob) for each in self._inputs):
                return self._need_blobs()
            data = self._input()
            if data and self._config.alt_da is not None and data[0] == COMMITMENT_VERSION:
                self._commitment = self._accepted(data[1:])
            elif data:
                return data
        return NeedData(self._commitment)

    def add_data(self, commitment: bytes, data: bytes | None) -> None:
        """Answers `NeedData`; None: an invalid certificate, or a challenge that expired."""
        if commitment != self._commitment:
            raise ValueError("data that was not asked for")
        self._commitment = None
        keccak = isinstance(decode_commitment(commitment), KeccakCommitment)
        if data and not (keccak and len(data) > KECCAK_INPUT_BYTES_MAX):
            self._answer = data

    def add_blobs(self, block: L1BlockRef, blobs: Sequence[bytes]) -> None:
        """Answers `NeedBlobs`; a blob that does not decode is as if it were not there."""
        if block != self._block:
            raise ValueError("blobs of a block that was not asked for")
        if len(blobs) != sum(isinstance(each, _Blob) for each in self._inputs):
            raise Reset(f"{len(blobs)} blobs of L1 block {block.number}, more or fewer than it has")
        given = iter(blobs)
        filled = (_data(next(given)) if isinstance(each, _Blob) else each for each in self._inputs)
        self._inputs = deque(filled)

    def _need_blobs(self) -> NeedBlobs:
        assert self._block is not None
        hashes = tuple(each.hash for each in self._inputs if isinstance(each, _Blob))
        return NeedBlobs(self._block, hashes)

    def _input(self) -> bytes:
        data = self._inputs.popleft()
        assert isinstance(data, bytes)
        return data

    def _accepted(self, commitment: bytes) -> bytes | None:
        """The commitment, or None when it is malformed or not of the chain's type."""
        assert self._config.alt_da is not None
        try:
            keccak = isinstance(decode_commitment(commitment), KeccakCommitment)
        except Malformed:
            return None
        wanted = self._config.alt_da.commitment_type == KECCAK_COMMITMENT
        return commitment if keccak == wanted else None


def _data(blob: bytes) -> bytes:
    try:
        return decode_blob(blob)
    except Malformed:
        return b""
