"""Whether a block that the engine has is the one that was derived from L1."""

from protocol.errors import Malformed
from rollup.codec.config import RollupConfig
from rollup.codec.header import decode_extra
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope


def difference(
    config: RollupConfig,
    parent_hash: bytes,
    attributes: PayloadAttributes,
    envelope: PayloadEnvelope,
) -> str | None:
    """What a block has otherwise than its attributes ask; None when it is what they would build.

    Source: op-node, `AttributesMatchBlock`. What execution gives (roots, gas used, base fee) needs
    no comparing: the engine executed it on the same parent.
    """
    payload = envelope.payload
    pairs = (
        ("parent", parent_hash, payload.parent_hash),
        ("time", attributes.timestamp, payload.timestamp),
        ("randomness", attributes.prev_randao, payload.prev_randao),
        ("fee recipient", attributes.fee_recipient, payload.fee_recipient),
        ("gas limit", attributes.gas_limit, payload.gas_limit),
        (
            "beacon root",
            attributes.parent_beacon_block_root,
            envelope.parent_beacon_block_root,
        ),
        ("number of transactions", len(attributes.transactions), len(payload.transactions)),
    )
    for name, wanted, found in pairs:
        if wanted != found:
            return f"{name}: {_shown(wanted)} derived, {_shown(found)} in the block"
    for index, (wanted, found) in enumerate(
        zip(attributes.transactions, payload.transactions, strict=True)
    ):
        if wanted != found:
            return f"transaction {index}"
    return _extra_difference(config, attributes, payload.extra_data)


def _extra_difference(
    config: RollupConfig, attributes: PayloadAttributes, extra: bytes
) -> str | None:
    if attributes.eip1559_params is None:  # before Holocene
        return None
    denominator = int.from_bytes(attributes.eip1559_params[:4], "big")
    elasticity = int.from_bytes(attributes.eip1559_params[4:], "big")
    if denominator == 0:  # never set on L1: the chain's own
        denominator, elasticity = config.eip1559(attributes.timestamp)
    try:
        same = decode_extra(extra) == (denominator, elasticity, attributes.min_base_fee)
    except Malformed:
        same = False
    return None if same else f"extra data {extra.hex()}"


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
