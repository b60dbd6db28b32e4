"""The attributes queue: a valid batch becomes the attributes of the block after the safe head.

Source: specs, protocol/derivation.md "Payload Attributes Derivation"; op-node,
attributes_queue.go.
"""

from dataclasses import replace

from protocol.errors import Refused, Reset
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L2BlockRef
from rollup.derive.attributes import build_attributes, deposits_only
from rollup.derive.batch_stage import BatchStage, NextBatch
from rollup.derive.l1_traversal import L1Traversal
from rollup.derive.needs import Attributes, Need


class AttributesQueue:
    """Remembers the attributes it gave last, until the safe head moves on, and the batch that they
    are made of while they fail: what one step took must not be lost to the next."""

    def __init__(self, config: RollupConfig, l1: L1Traversal, previous: BatchStage) -> None:
        self._config = config
        self._l1 = l1
        self._previous = previous
        self._batch: NextBatch | None = None
        self._last: Attributes | None = None

    def next(self, safe: L2BlockRef) -> Attributes | Need | None:
        """What comes after `safe`: the same again until another safe head is given."""
        if self._last is not None and self._last.parent == safe:
            return self._last
        found = self._batch or self._previous.next(safe)
        if not isinstance(found, NextBatch):
            return found
        self._batch, batch = found, found.batch
        if batch.parent_hash != safe.hash:
            raise Reset("a batch was not built upon, and the safe head has moved on")
        parent_epoch = self._l1.epoch(safe.l1_origin.number)
        epoch = self._l1.epoch(batch.epoch_number)
        built = build_attributes(self._config, parent_epoch.system_config, safe, epoch.block)
        whole = replace(built, transactions=(*built.transactions, *batch.transactions))
        self._batch, self._last = None, Attributes(safe, whole, self._l1.origin)
        return self._last

    def reject(self, attributes: Attributes) -> Attributes:
        """Deposits alone instead; the rest of the span and of the channel is dropped.

        `Refused` when they are deposits alone: then engine and L1 contradict each other.
        """
        if attributes != self._last:
            raise ValueError("attributes that were not given last")
        trimmed = deposits_only(attributes.attributes)
        if trimmed == attributes.attributes:
            raise Refused(
                f"the engine takes no block on {attributes.parent.number}, not even of deposits"
            )
        self._previous.flush()
        self._last = replace(attributes, attributes=trimmed)
        return self._last
