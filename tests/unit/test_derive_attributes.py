"""What L1 dictates of an L2 block, as the sequencer and derivation both build it."""

from dataclasses import replace

import pytest

from protocol.errors import Refused, Reset
from rollup.codec.refs import BlockId
from rollup.derive.attributes import build_attributes, deposits_only
from tests.derive_world import (
    config_log,
    deposit_log,
    genesis_ref,
    l1_child,
    l1_genesis,
    l2_transaction,
    make_config,
)

CONFIG = make_config()
SYSTEM = CONFIG.genesis.system_config
PARENT = genesis_ref(CONFIG)


def test_deposits_come_with_the_first_block_of_an_epoch_alone() -> None:
    epoch = l1_child(l1_genesis(), 2, logs=[deposit_log(0), config_log(1, 2, 9_000_000)])
    first = build_attributes(CONFIG, SYSTEM, PARENT, epoch)
    parent = replace(PARENT, l1_origin=epoch.ref.id, time=PARENT.time + 2)
    second = build_attributes(CONFIG, replace(SYSTEM, gas_limit=9_000_000), parent, epoch)

    assert (len(first.transactions), first.gas_limit) == (2, 9_000_000)
    assert (len(second.transactions), second.gas_limit) == (1, 9_000_000)
    assert first.no_tx_pool


def test_an_origin_that_does_not_follow_resets() -> None:
    """Neither the parent's own nor the next one of it, or one that is later than the block."""
    genesis, child = l1_genesis(), l1_child(l1_genesis(), 2)
    other = replace(PARENT, l1_origin=BlockId(bytes(32), 100))

    for parent, epoch in (
        (other, genesis),
        (other, child),
        (PARENT, l1_child(child, 0)),
        (PARENT, l1_child(genesis, 3)),
    ):
        with pytest.raises(Reset):
            build_attributes(CONFIG, SYSTEM, parent, epoch)
    assert build_attributes(CONFIG, SYSTEM, PARENT, child).timestamp == child.ref.time


def test_base_fee_parameters_come_with_holocene() -> None:
    """None before; eight zeros in its first block, whatever L1 says; then what L1 says."""
    system = replace(SYSTEM, eip1559_params=b"\0\0\0\x64\0\0\0\x05")
    config = replace(CONFIG, holocene_time=PARENT.time + 4, isthmus_time=None)
    found = []
    for number in range(3):
        parent = replace(PARENT, time=PARENT.time + 2 * number)
        found.append(build_attributes(config, system, parent, l1_genesis()).eip1559_params)

    assert found == [None, bytes(8), system.eip1559_params]


@pytest.mark.parametrize("fork", ["ecotone", "fjord", "isthmus", "jovian", "karst", "interop"])
def test_upgrades_after_genesis_are_refused(fork: str) -> None:
    """In their first block; a chain may be joined after it."""
    forks = ("ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst", "interop")
    later = forks[forks.index(fork) :]
    config = replace(CONFIG, **{f"{name}_time": None for name in later})
    config = replace(config, **{f"{fork}_time": PARENT.time + 2})

    with pytest.raises(Refused, match="activates at L2 time"):
        build_attributes(config, SYSTEM, PARENT, l1_genesis())
    after = replace(PARENT, time=PARENT.time + 2)
    assert build_attributes(config, SYSTEM, after, l1_genesis()).timestamp == PARENT.time + 4


def test_deposits_stay_when_the_rest_is_dropped() -> None:
    epoch = l1_child(l1_genesis(), 2, logs=[deposit_log(0)])
    built = build_attributes(CONFIG, SYSTEM, PARENT, epoch)
    whole = replace(built, transactions=(*built.transactions, l2_transaction(1)))

    assert deposits_only(whole) == built
    assert deposits_only(built) == built
