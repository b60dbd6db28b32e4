"""L1 traversal: one L1 block after another, with the system configuration as of each.

Source: specs, protocol/derivation.md "L1 Traversal"; op-node, l1_traversal.go.
"""

from dataclasses import dataclass, replace

from protocol.errors import Reset
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L1Block, L1BlockRef
from rollup.codec.system_config import SystemConfig, updated


@dataclass(frozen=True, slots=True)
class Epoch:
    """An L1 block as an L2 block's origin: without its transactions, and of its logs only those
    that the L2 reads.  `system_config` has the changes of this very block."""

    block: L1Block
    system_config: SystemConfig


def after(config: RollupConfig, system_config: SystemConfig, block: L1Block) -> SystemConfig:
    """The system configuration after one more L1 block."""
    ecotone = config.is_active("ecotone", block.ref.time)
    return updated(system_config, block, config.l1_system_config_address, ecotone=ecotone)


class L1Traversal:
    """Keeps the epochs from the safe head's origin on: at most a sequencing window of them."""

    def __init__(self, config: RollupConfig, origin: L1Block, system_config: SystemConfig) -> None:
        self._config = config
        self._epochs = {origin.ref.number: self._epoch(origin, system_config)}
        self.origin: L1BlockRef = origin.ref
        self.system_config = system_config

    def advance(self, block: L1Block) -> None:
        """`Reset` when `block` does not follow the origin: L1 has gone another way."""
        if block.ref.number != self.origin.number + 1:
            raise ValueError(f"L1 block {block.ref.number} after {self.origin.number}")
        if block.ref.parent_hash != self.origin.hash:
            raise Reset(f"L1 block {block.ref.number} does not follow the one that was read")
        self.system_config = after(self._config, self.system_config, block)
        self._epochs[block.ref.number] = self._epoch(block, self.system_config)
        self.origin = block.ref

    def epoch(self, number: int) -> Epoch:
        """`Reset` when this L1 block was not read, or is behind the safe head."""
        found = self._epochs.get(number)
        if found is None:
            raise Reset(f"L1 block {number} is not among those between safe head and origin")
        return found

    def forget_before(self, number: int) -> None:
        """Epochs below `number` are nobody's origin any more; the current one is kept."""
        while (first := next(iter(self._epochs))) < min(number, self.origin.number):
            del self._epochs[first]

    def _epoch(self, block: L1Block, system_config: SystemConfig) -> Epoch:
        read = (self._config.deposit_contract_address, self._config.l1_system_config_address)
        logs = tuple(log for log in block.logs if log.address in read)
        return Epoch(replace(block, transactions=(), logs=logs), system_config)
