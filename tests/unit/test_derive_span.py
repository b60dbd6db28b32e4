"""A span batch unrolled lazily is the span batch unrolled at once."""

from rollup.codec.span import SpanBatch
from rollup.derive.span import Span
from tests.derive_world import Sequencer, l1_child, l1_genesis, l2_transaction, make_config

CONFIG = make_config()


def test_the_blocks_are_those_of_the_codec() -> None:
    chain = [l1_genesis()]
    chain.append(l1_child(chain[0], 2))
    truth = Sequencer(CONFIG)
    for nonce, origin in enumerate((0, 0, 1, 1)):
        truth.build(chain[origin], [l2_transaction(nonce * 9 + each) for each in range(nonce)])
    batch = SpanBatch.decode(truth.span(1, 4))

    span = Span.of(batch, CONFIG)

    blocks = batch.blocks(CONFIG)
    assert tuple(span.after(0)) == blocks
    assert tuple(span.after(blocks[1].timestamp)) == blocks[2:]
    assert (span.start_time, span.end_time) == (blocks[0].timestamp, blocks[-1].timestamp)
    assert (span.start_epoch, span.end_epoch) == (100, 101)


def test_numbers_wrap_as_in_the_codec() -> None:
    """Time and L1 number of a span that begins just below 2**64."""
    start = (1 << 64) - CONFIG.genesis.l2_time - 3
    batch = SpanBatch(start, 1, bytes(20), bytes(20), (False, True, True), (0, 0, 0), ())

    span = Span.of(batch, CONFIG)

    blocks = batch.blocks(CONFIG)
    assert [block.timestamp for block in blocks] == [(1 << 64) - 3, (1 << 64) - 1, 1]
    assert tuple(span.after(0)) == blocks
    assert (span.start_epoch, span.end_time) == ((1 << 64) - 1, 1)


def test_a_span_of_a_million_blocks_is_cheap_to_refuse() -> None:
    """Nothing is made of the blocks before somebody asks for them."""
    count = 1_000_000
    batch = SpanBatch(0, 0, bytes(20), bytes(20), (False,) * count, (0,) * count, ())

    span = Span.of(batch, CONFIG)

    assert span.end_time == CONFIG.genesis.l2_time + (count - 1) * CONFIG.block_time
    assert next(span.after(span.end_time - 1)).timestamp == span.end_time
