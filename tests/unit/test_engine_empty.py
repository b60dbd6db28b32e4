"""An account that a genesis file made empty goes when a payment of nothing touches it (EIP-161)."""

import pytest

from protocol.signature import address_of
from rollup.engine.building import Fields
from rollup.engine.genesis import genesis, parse
from tests.engine_blocks import Blocks
from tests.evm_draw import signed

CHAIN_ID, START, SECRET, EMPTY = 31_337, 1_700_000_000, b"\x11" * 32, b"\xee" * 20


@pytest.mark.parametrize("value", [0, 1])
def test_a_payment_touches_an_empty_account(value: int) -> None:
    blocks = Blocks(parse(genesis(CHAIN_ID, {address_of(SECRET): 10**20, EMPTY: 0}, START)))
    fields = Fields(START + 2, b"\xc0" * 20, bytes(32), bytes(32), 15_000_000, b"")
    assembly = blocks.assembly(fields)
    assert assembly.state.account_exists(EMPTY)
    pays = {"to": EMPTY, "value": value, "data": b"", "gas": 21_000}
    raw = signed(SECRET, 2, chain_id=CHAIN_ID, nonce=0, tip=1, fee=10**10, **pays)

    entered, _ = blocks.offer(assembly, [raw])

    assert entered == [0]
    assert assembly.state.account_exists(EMPTY) == bool(value)
