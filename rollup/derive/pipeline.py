"""The derivation pipeline: L1 blocks in, attributes of L2 blocks out, nothing else touched.

Source: specs, protocol/derivation.md, holocene/derivation.md; op-node, pipeline.go.
"""

from collections.abc import Sequence

from protocol.errors import Refused
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L1Block, L1BlockRef, L2BlockRef
from rollup.codec.system_config import SystemConfig
from rollup.derive.attributes_queue import AttributesQueue
from rollup.derive.batch_stage import BatchStage
from rollup.derive.channel_assembler import ChannelAssembler
from rollup.derive.channel_in_reader import ChannelInReader
from rollup.derive.frame_queue import FrameQueue
from rollup.derive.l1_retrieval import L1Retrieval
from rollup.derive.l1_traversal import L1Traversal
from rollup.derive.needs import Attributes, Need, NeedL1


class Pipeline:
    """Pull stages in a row.  After a `Reset` the pipeline is spent: search the start again.

    `origin` is an L1 block at or before the safe head's origin, early enough that no channel which
    closes after it opened before `origin` (see start.py); `system_config` is as of `origin`.
    """

    def __init__(
        self, config: RollupConfig, origin: L1Block, system_config: SystemConfig, safe: L2BlockRef
    ) -> None:
        if origin.ref.number > safe.l1_origin.number:
            raise ValueError("the pipeline must start at or before the safe head's origin")
        self._config = config
        self._safe = safe
        self._l1 = L1Traversal(config, origin, system_config)
        self._retrieval = L1Retrieval(config)
        assembler = ChannelAssembler(config, self._l1, FrameQueue(self._retrieval))
        reader = ChannelInReader(config, assembler)
        self._batches = BatchStage(config, self._l1, reader)
        self._queue = AttributesQueue(config, self._l1, self._batches)
        self._open(origin)

    @property
    def origin(self) -> L1BlockRef:
        """The L1 block that is being read."""
        return self._l1.origin

    def step(self, safe: L2BlockRef) -> Attributes | Need | NeedL1:
        """What comes after `safe`, or what is missing to tell.  One call reads what it can.

        `safe` starts as given to the constructor and then follows the attributes.  With the same
        `safe` and nothing added the answer is the same.
        """
        self._safe = safe
        self._l1.forget_before(safe.l1_origin.number)
        found = self._queue.next(safe)
        if found is not None:
            return found
        return NeedL1(self.origin.number + 1, self.origin.hash)

    def add_l1(self, block: L1Block | None) -> None:
        """Answers `NeedL1`.  `Reset` when the block does not follow the one that was read."""
        if block is not None:
            self._l1.advance(block)
            self._open(block)

    def add_l2(self, number: int, ref: L2BlockRef | None) -> None:
        """Answers `NeedL2`; None when the engine has no such block."""
        self._batches.add_l2(number, ref)

    def add_l2_block(self, ref: L2BlockRef, transactions: Sequence[bytes]) -> None:
        """Answers `NeedL2Block` with all transactions of the block, deposits too."""
        self._batches.add_l2_block(ref, transactions)

    def add_data(self, commitment: bytes, data: bytes | None) -> None:
        """Answers `NeedData`; None drops it: an invalid certificate, an expired challenge."""
        self._retrieval.add_data(commitment, data)

    def add_blobs(self, block: L1BlockRef, blobs: Sequence[bytes]) -> None:
        """Answers `NeedBlobs`, in the order of its hashes, 131,072 bytes each."""
        self._retrieval.add_blobs(block, blobs)

    def reject(self, attributes: Attributes) -> Attributes:
        """The engine found them invalid: the same block with deposits alone, to be tried next."""
        return self._queue.reject(attributes)

    def _open(self, block: L1Block) -> None:
        """Before Holocene nothing is read: its activation discards all that was in between."""
        if self._config.is_active("holocene", block.ref.time):
            self._retrieval.open(block, self._l1.system_config.batcher)
        elif block.ref.number > self._safe.l1_origin.number:
            raise Refused(f"L1 block {block.ref.number} is before Holocene: no rules for it here")
