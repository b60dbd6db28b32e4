"""What an L2 block says of itself: its L1 origin, and the chain's parameters when it was built."""

from protocol.codec import require
from rollup.codec.config import RollupConfig
from rollup.codec.l1_info import l2_ref, l2_system_config
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L2BlockRef
from rollup.codec.system_config import SystemConfig


def ref_of(envelope: PayloadEnvelope, config: RollupConfig) -> L2BlockRef:
    """`Malformed` when its first transaction is not L1's attributes."""
    payload = envelope.payload
    return l2_ref(
        payload.block_hash,
        payload.block_number,
        payload.parent_hash,
        payload.timestamp,
        _first(envelope, config),
        config,
    )


def system_config_of(envelope: PayloadEnvelope, config: RollupConfig) -> SystemConfig:
    """As of the block's L1 origin. `Malformed` as above."""
    payload = envelope.payload
    return l2_system_config(
        payload.block_hash,
        payload.block_number,
        payload.timestamp,
        payload.gas_limit,
        payload.extra_data,
        _first(envelope, config),
        config,
    )


def _first(envelope: PayloadEnvelope, config: RollupConfig) -> bytes:
    payload = envelope.payload
    if payload.block_number == config.genesis.l2.number:
        return b""
    require(bool(payload.transactions), "an L2 block without L1's attributes")
    return payload.transactions[0]
