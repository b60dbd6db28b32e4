"""What makes a block another one than was derived (op-node, `AttributesMatchBlock`)."""

from dataclasses import replace
from typing import Any

import pytest

from rollup.codec.header import encode_holocene_extra
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope
from rollup.consolidation import difference
from tests.rollup_rig import Rig


async def pair() -> tuple[Rig, PayloadAttributes, PayloadEnvelope]:
    """A block, and the attributes that it fits."""
    rig = Rig()
    await rig.blocks(1)
    envelope = rig.out[0]
    payload = envelope.payload
    attributes = PayloadAttributes(
        timestamp=payload.timestamp,
        prev_randao=payload.prev_randao,
        fee_recipient=payload.fee_recipient,
        parent_beacon_block_root=envelope.parent_beacon_block_root,
        transactions=payload.transactions,
        no_tx_pool=True,
        gas_limit=payload.gas_limit,
        eip1559_params=bytes(8),
    )
    return rig, attributes, envelope


async def test_a_block_fits_the_attributes_that_it_was_built_from() -> None:
    rig, attributes, envelope = await pair()
    parent = envelope.payload.parent_hash

    assert difference(rig.config, parent, attributes, envelope) is None


async def test_zero_parameters_stand_for_the_chains_own() -> None:
    rig, attributes, envelope = await pair()
    denominator, elasticity = rig.config.eip1559(attributes.timestamp)
    own = denominator.to_bytes(4, "big") + elasticity.to_bytes(4, "big")
    spelled = replace(attributes, eip1559_params=own)

    assert difference(rig.config, envelope.payload.parent_hash, spelled, envelope) is None


CHANGES: dict[str, Any] = {
    "timestamp": 1,
    "prev_randao": b"\x01" * 32,
    "fee_recipient": b"\x01" * 20,
    "parent_beacon_block_root": b"\x01" * 32,
    "gas_limit": 1,
    "eip1559_params": b"\0\0\0\x01\0\0\0\x01",
    "min_base_fee": 1,
    "transactions": (b"\x7e",),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_each_attribute_counts(name: str) -> None:
    rig, attributes, envelope = await pair()
    other = replace(attributes, **{name: CHANGES[name]})

    assert difference(rig.config, envelope.payload.parent_hash, other, envelope) is not None


async def test_so_do_the_parent_and_each_transaction() -> None:
    rig, attributes, envelope = await pair()
    first, *rest = attributes.transactions
    other = replace(attributes, transactions=(first[:-1] + b"\xff", *rest))
    parent = envelope.payload.parent_hash

    assert difference(rig.config, b"\x01" * 32, attributes, envelope) is not None
    assert difference(rig.config, parent, other, envelope) is not None


async def test_extra_data_are_compared_with_the_parameters() -> None:
    rig, attributes, envelope = await pair()
    parent = envelope.payload.parent_hash
    for extra in (encode_holocene_extra(251, 6), b"", b"anything"):
        other = replace(envelope, payload=replace(envelope.payload, extra_data=extra))
        assert difference(rig.config, parent, attributes, other) is not None
