"""The pipeline as a whole, on worlds made by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest

from protocol.errors import Malformed, Refused, Reset
from rollup.codec.batch import SingularBatch
from rollup.codec.deposit import DepositTransaction
from rollup.codec.l1_info import L1Info
from rollup.codec.refs import L1Block
from rollup.codec.span import SpanBatch
from rollup.derive.batch_stage import SKIPPED_MAX
from rollup.derive.channel_in_reader import HEAVY_BYTES
from rollup.derive.needs import Attributes, NeedL1, NeedL2, NeedL2Block, NeedTime
from rollup.derive.pipeline import Pipeline
from tests.derive_world import (
    Node,
    Sequencer,
    channel,
    config_log,
    deposit_log,
    genesis_ref,
    l1_child,
    l1_genesis,
    l1_of,
    l2_transaction,
    make_config,
    post,
    refs,
    truth_of,
)

CONFIG = make_config()


def test_a_span_batch_gives_the_sequencers_chain() -> None:
    """Three blocks in one channel."""
    truth = truth_of(CONFIG, 3)
    node = Node(CONFIG, l1_of([post(*channel([truth.span(1, 3)], b"a"))]))

    assert node.run() == refs(truth, 3)
    assert {each.derived_from for each in node.derived} == {node.l1[1].ref}


def test_attributes_say_what_l1_dictates() -> None:
    """L1 attributes, deposits and new parameters come with the first block of an epoch."""
    chain = [l1_genesis()]
    logs = (deposit_log(0), config_log(1, 2, 12_000_000), config_log(2, 5, 6 << 64 | 4))
    chain.append(l1_child(chain[0], 2, logs=logs))
    truth = Sequencer(CONFIG)
    truth.build(chain[1], [l2_transaction(1)])
    truth.build(chain[1])
    chain.append(l1_child(chain[1], 2, [post(*channel(truth.singular(1, 2), b"a"))]))
    node = Node(CONFIG, chain)
    node.run()

    first, second = (each.attributes for each in node.derived)
    info = L1Info.decode(DepositTransaction.decode(first.transactions[0]).data)
    deposit = DepositTransaction.decode(first.transactions[1])
    assert (info.number, info.sequence_number, info.base_fee) == (101, 0, chain[1].base_fee)
    assert (info.operator_fee_scalar, info.operator_fee_constant) == (6, 4)
    assert (deposit.mint, deposit.is_system) == (7, False)
    assert first.transactions[2:] == (l2_transaction(1),)
    assert (first.gas_limit, first.no_tx_pool) == (12_000_000, True)
    assert (first.timestamp, first.prev_randao) == (chain[0].ref.time + 2, chain[1].mix_hash)
    assert first.parent_beacon_block_root == chain[1].parent_beacon_root
    assert first.fee_recipient.hex() == "4200000000000000000000000000000000000011"
    assert (first.eip1559_params, first.min_base_fee) == (bytes(8), None)
    info = L1Info.decode(DepositTransaction.decode(second.transactions[0]).data)
    assert (info.sequence_number, len(second.transactions)) == (1, 1)
    assert second.gas_limit == 12_000_000


def test_an_invalid_payload_becomes_a_block_of_deposits() -> None:
    """Holocene: the rest of span and channel goes with it, the next channel is read."""
    truth = truth_of(CONFIG, 4)
    bad = l2_transaction(1)
    sent = [post(*channel([truth.span(1, 3), truth.singular(4, 4)[0]], b"a"))]
    chain = l1_of(sent)
    node = Node(CONFIG, chain, is_valid=lambda attributes: bad not in attributes.transactions)

    node.run()

    assert node.chain[:2] == refs(truth, 1)
    assert len(node.chain) == 3
    replaced = node.derived[-1]
    assert replaced.attributes.transactions == node.derived[-1].attributes.transactions[:1]
    again = Sequencer(CONFIG, truth.blocks[:2])
    again.build(chain[0])
    again.build(chain[0], [l2_transaction(9)])
    chain.append(l1_child(chain[-1], 12, [post(*channel([again.span(3, 3)], b"b"))]))
    assert node.run() == refs(again, 3)


def test_deposits_that_the_engine_refuses_stop_the_node() -> None:
    """Nothing is left to try: engine and L1 contradict each other."""
    truth = truth_of(CONFIG, 1)
    node = Node(CONFIG, l1_of([post(*channel([truth.span(1, 1)], b"a"))]))
    node.is_valid = lambda attributes: False
    assert node.block(100) is not None
    node.start()
    assert node.pipeline is not None
    pipeline, safe = node.pipeline, node.safe
    pipeline.step(safe)
    pipeline.add_l1(node.l1[1])
    found = pipeline.step(safe)
    assert isinstance(found, Attributes)
    trimmed = pipeline.reject(found)

    with pytest.raises(Refused):
        pipeline.reject(trimmed)
    with pytest.raises(ValueError, match="not given last"):
        pipeline.reject(found)


def test_an_invalid_batch_drops_the_rest_of_its_channel() -> None:
    """Not what came before it, and not the next channel."""
    truth = truth_of(CONFIG, 4)
    bad = replace(truth.blocks[2], transactions=(b"\x7e",))
    spoilt = Sequencer(CONFIG, [*truth.blocks[:2], bad, *truth.blocks[3:]])
    first = channel([*truth.singular(1, 1), *spoilt.singular(2, 2), *truth.singular(2, 4)], b"a")
    second = channel([truth.span(1, 3)], b"b")
    chain = l1_of([post(*first)])
    node = Node(CONFIG, chain)

    assert node.run() == refs(truth, 1)
    chain.append(l1_child(chain[-1], 12, [post(*second)]))
    assert node.run() == refs(truth, 3)
    assert node.asked == [NeedL2(0), NeedL2Block(1)]  # the parent of a span that overlaps, and it


def test_a_batch_of_the_past_is_skipped_alone() -> None:
    truth = truth_of(CONFIG, 3)
    batches = [*truth.singular(1, 2), truth.span(1, 2), *truth.singular(1, 1), truth.span(2, 3)]

    assert Node(CONFIG, l1_of([post(*channel(batches, b"a"))])).run() == refs(truth, 3)


def test_a_span_that_tells_the_safe_chain_otherwise_is_dropped() -> None:
    """With its channel, op-node's TestBatchStage_OverlapContent: its tail belongs to another
    history."""
    other = Sequencer(CONFIG)
    for nonce in (0, 77, 2):
        other.build(l1_genesis(), [l2_transaction(nonce)])
    truth = truth_of(CONFIG, 4)
    first = post(*channel(truth.singular(1, 2), b"a"))
    conflict = post(*channel([other.span(1, 3), *truth.singular(3, 3)], b"b"))
    chain = l1_of([first], [conflict])
    node = Node(CONFIG, chain)

    assert node.run() == refs(truth, 2)
    assert node.asked == [NeedL2(0), NeedL2Block(1), NeedL2Block(2)]
    chain.append(l1_child(chain[-1], 12, [post(*channel([truth.span(1, 4)], b"c"))]))
    assert node.run() == refs(truth, 4)


def test_a_span_that_moves_an_origin_of_the_safe_chain_is_dropped() -> None:
    chain = [l1_genesis()]
    chain.append(l1_child(chain[0], 2))
    truth, other = Sequencer(CONFIG), Sequencer(CONFIG)
    for epoch in (chain[0], chain[1], chain[1]):
        truth.build(epoch)
    for epoch in (chain[1], chain[1], chain[1]):
        other.build(epoch)
    batches = [*truth.singular(1, 2), other.span(1, 3), *truth.singular(3, 3)]
    chain.append(l1_child(chain[1], 12, [post(*channel(batches, b"a"))]))

    assert Node(CONFIG, chain).run() == refs(truth, 2)


def test_a_span_with_a_transaction_that_is_none_is_skipped_alone() -> None:
    """As op-node does; kona drops the rest of the channel."""
    truth = truth_of(CONFIG, 2)
    spoilt = SpanBatch.decode(truth.span(1, 2))
    bad = [replace(each, data=b"\x05" + each.data[1:]) for each in spoilt.transactions]
    batches = [*truth.singular(1, 1), replace(spoilt, transactions=tuple(bad)).encode()]
    batches += truth.singular(2, 2)

    assert Node(CONFIG, l1_of([post(*channel(batches, b"a"))])).run() == refs(truth, 2)


def test_a_flood_of_old_batches_is_read_in_short_steps() -> None:
    """In its own origin's L1 block, where all is drained, and after it."""
    truth = truth_of(CONFIG, 2)
    old = SingularBatch(bytes(32), 1, bytes(32), 1, ()).encode()
    flood = [old] * (2 * SKIPPED_MAX + 5)
    sent = post(*channel([*truth.singular(1, 1), *flood, *truth.singular(2, 2)], b"a"))
    node = Node(CONFIG, l1_of([sent]))

    assert node.run() == refs(truth, 2)
    assert node.asked == [NeedTime()] * 2
    again = Node(CONFIG, [l1_child(l1_genesis(), 0, [sent])])
    again.l1 = [replace(again.l1[0], ref=l1_genesis().ref)]
    again.run()
    assert again.asked == [NeedTime()] * 2
    spans = [truth.span(1, 1)] * (2 * SKIPPED_MAX + 5)
    sent = post(*channel([*truth.singular(1, 1), *spans, *truth.singular(2, 2)], b"a"))
    node = Node(CONFIG, l1_of([sent]))
    assert node.run() == refs(truth, 2)
    assert node.asked == [NeedTime()] * 2


def test_a_heavy_batch_is_decoded_in_a_step_of_its_own() -> None:
    truth = Sequencer(CONFIG)
    truth.build(l1_genesis(), [l2_transaction(0, bytes(HEAVY_BYTES))])
    truth.build(l1_genesis(), [l2_transaction(1, bytes(HEAVY_BYTES))])
    batches = [*truth.singular(1, 1), truth.span(2, 2)]
    node = Node(CONFIG, l1_of([post(*channel(batches, b"a"))]))

    assert node.run() == refs(truth, 2)
    assert node.asked == [NeedTime()] * 2


def test_a_gap_drops_the_channel() -> None:
    truth = truth_of(CONFIG, 3)
    for batches in (
        [*truth.singular(2, 2), *truth.singular(1, 1)],
        [truth.span(2, 3), truth.span(1, 3)],
    ):
        assert Node(CONFIG, l1_of([post(*channel(batches, b"a"))])).run() == refs(truth, 0)


def test_a_malformed_batch_ends_its_channel() -> None:
    truth = truth_of(CONFIG, 2)
    for junk in (b"\x07", b"", b"\x00", b"\x01\x00"):
        batches = [*truth.singular(1, 1), junk, *truth.singular(2, 2)]
        assert Node(CONFIG, l1_of([post(*channel(batches, b"a"))])).run() == refs(truth, 1)


def test_a_span_whose_end_is_not_on_l1_yet_is_skipped() -> None:
    """Undecided: as in op-node the rest of its channel counts."""
    truth = truth_of(CONFIG, 2)
    genesis = CONFIG.genesis
    ahead = SpanBatch(
        2, 102, genesis.l2.hash[:20], bytes(20), (False, True, True), (0, 0, 0), ()
    ).encode()
    sent = [post(*channel([ahead, truth.span(1, 2)], b"a"))]

    assert Node(CONFIG, l1_of(sent)).run() == refs(truth, 2)


def test_a_span_with_an_origin_behind_the_window_is_dropped() -> None:
    """An overlapping span may pass its prefix and still name an L1 block that is behind: with it
    goes the channel, and no error."""
    chain = [l1_genesis()]
    chain.append(l1_child(chain[0], 2))
    truth = Sequencer(CONFIG)
    truth.build(chain[0])
    truth.build(chain[1])
    stale = SpanBatch(  # blocks 1 to 4, where block 3 is in epoch 100 again and only block 4 moves
        2,
        101,
        CONFIG.genesis.l2.hash[:20],
        chain[1].ref.hash[:20],
        (False, False, False, True),
        (0, 0, 0, 0),
        (),
    ).encode()
    next_one = Sequencer(CONFIG, list(truth.blocks))
    next_one.build(chain[1])
    batches = [truth.span(1, 2), stale, next_one.span(3, 3)]
    chain.append(l1_child(chain[1], 12, [post(*channel(batches, b"a"))]))
    node = Node(CONFIG, chain)

    assert node.run() == refs(truth, 2)
    chain.append(l1_child(chain[2], 12, [post(*channel([next_one.span(3, 3)], b"b"))]))
    assert node.run() == refs(next_one, 3)


def empty_chain(chain: list[L1Block], window: int) -> list[tuple[int, int]]:
    """Times and epochs that the specification asks for when nobody posts, from block 1 on."""
    out, time = [], CONFIG.genesis.l2_time
    for epoch, after in pairwise(chain):
        if epoch.ref.number + window > chain[-1].ref.number:
            break
        first = epoch is not chain[0]
        while time + 2 < after.ref.time or first:
            time, first = time + 2, False
            out.append((time, epoch.ref.number))
    return out


@pytest.mark.parametrize("steps", [[12] * 8, [1] * 8, [2, 1, 1, 7, 30, 1, 1, 12, 3]])
def test_a_silent_window_is_filled_with_empty_blocks(steps: list[int]) -> None:
    """Each epoch gets blocks up to the time of the next, and one at least, even beyond it."""
    config = replace(CONFIG, seq_window_size=3)
    chain = [l1_genesis()]
    for at, step in enumerate(steps):
        chain.append(l1_child(chain[-1], step, logs=[deposit_log(0)] if at % 2 else ()))
    node = Node(config, chain)

    node.run()

    assert [(ref.time, ref.l1_origin.number) for ref in node.chain[1:]] == empty_chain(chain, 3)
    for each in node.derived:
        kinds = {raw[0] for raw in each.attributes.transactions}
        assert kinds == {0x7E}


def test_a_batch_in_the_last_block_of_its_window_counts() -> None:
    config = replace(CONFIG, seq_window_size=3)
    truth = truth_of(CONFIG, 2)
    sent = [post(*channel([truth.span(1, 2)], b"a"))]

    assert Node(config, l1_of([], [], sent)).run()[:3] == refs(truth, 2)
    late = Node(config, l1_of([], [], [], sent)).run()
    assert late[1] != truth.blocks[1].ref


def test_an_l1_block_that_does_not_follow_resets() -> None:
    chain = l1_of([], [])
    other = replace(chain[1], ref=replace(chain[1].ref, parent_hash=bytes(32)))
    pipeline = Pipeline(CONFIG, chain[0], CONFIG.genesis.system_config, genesis_ref(CONFIG))
    safe = genesis_ref(CONFIG)
    need = pipeline.step(safe)

    assert need == NeedL1(101, chain[0].ref.hash)
    pipeline.add_l1(None)
    assert pipeline.step(safe) == need
    with pytest.raises(Reset):
        pipeline.add_l1(other)
    with pytest.raises(ValueError, match="after"):
        pipeline.add_l1(chain[2])


def test_a_fork_that_needs_upgrade_transactions_is_refused() -> None:
    """We do not have them; a node that went on would be on another chain."""
    config = replace(CONFIG, jovian_time=CONFIG.genesis.l2_time + 4)
    truth = truth_of(CONFIG, 1)
    truth.build(l1_genesis())
    node = Node(config, l1_of([post(*channel(truth.singular(1, 2), b"a"))]))

    with pytest.raises(Refused, match="jovian"):
        node.run()
    assert len(node.chain) == 2


def test_jovian_from_genesis_sets_the_minimum_fee() -> None:
    config = replace(CONFIG, jovian_time=0)
    chain = [l1_genesis()]
    chain.append(l1_child(chain[0], 2, logs=[config_log(0, 6, 77)]))
    truth = Sequencer(config)
    truth.build(chain[1])
    chain.append(l1_child(chain[1], 2, [post(*channel([truth.span(1, 1)], b"a"))]))
    node = Node(config, chain)
    node.run()

    assert node.derived[0].attributes.min_base_fee == 77


def test_l1_before_holocene_is_refused_but_where_it_is_behind_the_safe_head() -> None:
    config = replace(CONFIG, holocene_time=CONFIG.genesis.l2_time + 100, isthmus_time=None)
    chain = l1_of([], step=12)
    pipeline = Pipeline(config, chain[0], CONFIG.genesis.system_config, genesis_ref(CONFIG))

    assert pipeline.step(genesis_ref(CONFIG)) == NeedL1(101, chain[0].ref.hash)
    with pytest.raises(Refused, match="Holocene"):
        pipeline.add_l1(chain[1])


def test_a_pipeline_cannot_start_after_its_safe_head() -> None:
    with pytest.raises(ValueError, match="before"):
        Pipeline(CONFIG, l1_of([])[1], CONFIG.genesis.system_config, genesis_ref(CONFIG))


def test_a_batch_outlives_the_failure_to_build_on_it() -> None:
    """A portal that writes what nobody can read: the same error again, and no other chain."""
    unreadable = replace(deposit_log(0), data=b"\0")
    chain = [l1_genesis()]
    chain.append(l1_child(chain[0], 2))
    truth = Sequencer(CONFIG)
    truth.build(chain[1])
    truth.build(chain[1])
    chain[1] = replace(chain[1], logs=(unreadable,))
    chain.append(l1_child(chain[1], 2, [post(*channel([truth.span(1, 2)], b"a"))]))
    node = Node(CONFIG, chain)

    for _ in range(3):
        with pytest.raises(Malformed):
            node.run()
    assert len(node.chain) == 1


def test_what_is_held_of_l1_is_bounded_by_the_window() -> None:
    """However long nobody posts; an open channel is given up after its time-out."""
    config = replace(CONFIG, seq_window_size=3)
    chain = [l1_genesis()]
    frames = channel([bytes(5000)], b"a", size=1, algorithm="zlib")
    for number in range(80):
        sent = [post(frames[number // 20])] if number % 20 == 0 else []
        logs = [deposit_log(0), deposit_log(1, address=b"\x77" * 20)]
        chain.append(l1_child(chain[-1], 12, sent, logs))
    node = Node(config, chain)

    node.run()

    assert node.pipeline is not None
    stage = node.pipeline._batches
    assert len(stage._l1_blocks) <= 4
    held = node.pipeline._l1._epochs
    assert len(held) <= 5
    assert all(not epoch.block.transactions for epoch in held.values())
    assert all(epoch.block.logs == (deposit_log(0),) for epoch in held.values())
    assert stage._previous._previous._channel is None
