"""A span batch that begins below the safe head, compared with the safe blocks that it tells again.

Source: specs, holocene/derivation.md "Span Batches" and delta/span-batches.md; op-node, batches.go
(checkSpanBatchOverlap).
"""

from collections.abc import Sequence

from rollup.codec.refs import L2BlockRef
from rollup.derive.batch_check import ACCEPT, Ruling, check_overlap
from rollup.derive.needs import NeedL2Block
from rollup.derive.span import Span


class Overlap:
    """Goes from block `first` of the safe chain up to `safe`, one block at a time."""

    def __init__(self, safe: L2BlockRef, span: Span, first: int) -> None:
        self.safe = safe
        self._number = first
        self._blocks = span.up_to(safe.time)
        self._block = next(self._blocks, None)
        self._ruling = ACCEPT

    def ruling(self) -> Ruling | NeedL2Block:
        if self._ruling != ACCEPT or self._block is None:
            return self._ruling
        return NeedL2Block(self._number)

    def add(self, ref: L2BlockRef, transactions: Sequence[bytes]) -> None:
        """Answers what `ruling` asks for."""
        if self._block is None or ref.number != self._number:
            raise ValueError(f"L2 block {ref.number} was not asked for")
        self._ruling = check_overlap(self._block, ref, transactions)
        self._number += 1
        self._block = next(self._blocks, None)
