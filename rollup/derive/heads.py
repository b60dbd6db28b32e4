"""The heads of the L2 chain: unsafe, safe and finalised, and which L1 block made a block safe.

Source: op-node, engine_controller.go and finality/finalizer.go.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from protocol.errors import Reset
from rollup.codec.refs import BlockId, L1BlockRef, L2BlockRef

LOOKBACK_MIN: Final = 4 * 32 + 1  # L1 blocks to finality at its slowest healthy pace


@dataclass(frozen=True, slots=True)
class Derived:
    """The last L2 block that `l1` and the L1 blocks before it give."""

    l1: BlockId
    l2: L2BlockRef


class Heads:
    """finalized <= safe <= unsafe, by number.

    `safe` follows every derived block and is what the pipeline builds on: since Holocene a block is
    safe in the middle of its span batch too.  At most `lookback` L1 blocks are remembered for
    finality: with alt-DA that is challenge window plus resolve window plus one.
    """

    def __init__(
        self,
        unsafe: L2BlockRef,
        safe: L2BlockRef,
        finalized: L2BlockRef,
        *,
        lookback: int = LOOKBACK_MIN,
    ) -> None:
        if not finalized.number <= safe.number <= unsafe.number:
            raise ValueError("heads out of order")
        self.unsafe = unsafe
        self.safe = safe
        self.finalized = finalized
        self._derived: deque[Derived] = deque(maxlen=max(lookback, LOOKBACK_MIN))

    def extend_unsafe(self, block: L2BlockRef) -> None:
        """A block from the sequencer, on top of the unsafe head or in its place."""
        if block.number <= self.safe.number and block != self.safe:
            raise ValueError(f"unsafe block {block.number} is not above the safe head")
        self.unsafe = block

    def derive(self, block: L2BlockRef, derived_from: L1BlockRef) -> None:
        """The child of `safe`, from L1.  `unsafe` falls back to it unless it lies above, so tell
        a conflict first with `rewind_unsafe`."""
        if block.parent_hash != self.safe.hash:
            raise ValueError(f"derived block {block.number} is not on the safe head")
        self.safe = block
        if self.unsafe.number <= block.number:
            self.unsafe = block
        self._remember(Derived(derived_from.id, block))

    def rewind_unsafe(self) -> None:
        """The unsafe chain contradicts what was derived: it falls back to the safe head."""
        self.unsafe = self.safe

    def candidate(self, l1_number: int) -> Derived | None:
        """What is final when L1 has finalised `l1_number`; None when that is nothing new.

        Ask L1 for its block of number `candidate.l1.number`, then call `finalize` with it.
        """
        found: Derived | None = None
        for each in self._derived:
            if each.l1.number <= l1_number and each.l2.number > self.finalized.number:
                found = each
        return found

    def finalize(self, candidate: Derived, canonical: L1BlockRef) -> None:
        """Moves the finalised head.  `Reset` when the blocks came from another L1 chain."""
        if canonical.id != candidate.l1:
            raise Reset(f"L1 finalised another block {canonical.number} than was derived from")
        self.finalized = candidate.l2
        while self._derived and self._derived[0].l1.number < candidate.l1.number:
            self._derived.popleft()  # the last one stays: its L1 block may give more blocks yet

    def derived_from(self, number: int) -> BlockId | None:
        """The L1 block that made safe L2 block `number` safe; None when not remembered."""
        return next((each.l1 for each in self._derived if each.l2.number >= number), None)

    def _remember(self, derived: Derived) -> None:
        if self._derived and self._derived[-1].l1 == derived.l1:
            self._derived.pop()
        self._derived.append(derived)
