"""The attributes of an L2 block: what L1 dictates, shared by derivation and the sequencer.

Source: specs, protocol/derivation.md "Deriving Payload Attributes"; op-node, attributes.go.
"""

from dataclasses import replace
from typing import Final

from protocol.errors import Refused, Reset
from rollup.codec.config import RollupConfig
from rollup.codec.deposit import deposits
from rollup.codec.l1_info import l1_info_deposit
from rollup.codec.payload import PayloadAttributes
from rollup.codec.refs import L1Block, L2BlockRef
from rollup.codec.system_config import SystemConfig
from rollup.derive.l1_traversal import after

SEQUENCER_FEE_VAULT: Final = bytes.fromhex("4200000000000000000000000000000000000011")
DEPOSIT: Final = 0x7E
# Forks whose first block carries upgrade transactions: we have none of them, so a chain must have
# these forks from its genesis on, or be joined after them.
UPGRADES: Final = ("ecotone", "fjord", "isthmus", "jovian", "karst", "interop")


def build_attributes(
    config: RollupConfig, system_config: SystemConfig, parent: L2BlockRef, epoch: L1Block
) -> PayloadAttributes:
    """The block after `parent` with the L1 origin `epoch`, without any batch transaction.

    `system_config`: as of the parent; the changes in `epoch` are applied here when the epoch moves.
    `Reset` when the epoch does not follow from the parent; `Refused` at an upgrade.
    """
    time = parent.time + config.block_time
    same = epoch.ref.number == parent.l1_origin.number
    origin_hash = epoch.ref.hash if same else epoch.ref.parent_hash
    if origin_hash != parent.l1_origin.hash:
        raise Reset(f"L1 block {epoch.ref.number} does not follow the origin of {parent.number}")
    if time < epoch.ref.time:
        raise Reset(f"L2 time {time} before its L1 origin at {epoch.ref.time}")
    _require_no_upgrade(config, parent.time, time)
    raw: list[bytes] = []
    if not same:
        system_config = after(config, system_config, epoch)
        raw = [each.encode() for each in deposits(epoch, config.deposit_contract_address)]
    sequence_number = parent.sequence_number + 1 if same else 0
    info = l1_info_deposit(config, system_config, sequence_number, epoch, time)
    return PayloadAttributes(
        timestamp=time,
        prev_randao=epoch.mix_hash,
        fee_recipient=SEQUENCER_FEE_VAULT,
        parent_beacon_block_root=epoch.parent_beacon_root,
        transactions=(info.encode(), *raw),
        no_tx_pool=True,
        gas_limit=system_config.gas_limit,
        eip1559_params=_eip1559_params(config, system_config, parent.time, time),
        min_base_fee=system_config.min_base_fee if config.is_active("jovian", time) else None,
    )


def _eip1559_params(
    config: RollupConfig, system_config: SystemConfig, parent_time: int, time: int
) -> bytes | None:
    if not config.is_active("holocene", time):
        return None
    return system_config.eip1559_params if config.is_active("holocene", parent_time) else bytes(8)


def deposits_only(attributes: PayloadAttributes) -> PayloadAttributes:
    """What replaces attributes that the engine found invalid (Holocene, "Engine Queue")."""
    kept = tuple(raw for raw in attributes.transactions if raw[:1] == bytes((DEPOSIT,)))
    return replace(attributes, transactions=kept)


def _require_no_upgrade(config: RollupConfig, parent_time: int, time: int) -> None:
    for fork in UPGRADES:
        if config.is_active(fork, time) and not config.is_active(fork, parent_time):
            raise Refused(
                f"{fork} activates at L2 time {time}, after genesis: its upgrade transactions are "
                "not known here"
            )
