"""Any bytes in the inbox: derivation goes on to the end of L1, and its chain is a chain."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollup.codec.batch import SingularBatch
from rollup.codec.channel import write_batches
from rollup.codec.compression import compress
from rollup.codec.frame import Frame, encode_frames
from rollup.codec.refs import L1Block
from rollup.codec.span import SpanBatch
from tests.derive_world import (
    Node,
    Sequencer,
    inbox,
    l1_child,
    l1_genesis,
    l2_transaction,
    make_config,
)

L1_BLOCKS = 6
CONFIG = make_config(seq_window_size=4)
UINT64 = st.integers(0, (1 << 64) - 1)


def near(*values: int) -> st.SearchStrategy[int]:
    """Numbers at and around these, and any."""
    around = [value + step for value in values for step in (-2, -1, 0, 1, 2)]
    return st.sampled_from([each for each in around if each >= 0]) | UINT64


TRANSACTIONS = st.lists(
    st.sampled_from([b"", b"\x7e", b"\x04", l2_transaction(1)]) | st.binary(max_size=40), max_size=3
)
HASHES = st.sampled_from([CONFIG.genesis.l1.hash, CONFIG.genesis.l2.hash, bytes(32)])
SINGULAR = st.builds(
    SingularBatch,
    HASHES,
    near(100, 106),
    HASHES,
    near(1_000_000, 1_000_012),
    TRANSACTIONS.map(tuple),
).map(SingularBatch.encode)


@st.composite
def spans(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(1, 40))
    bits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return SpanBatch(
        draw(near(0, 2, 12)),
        draw(near(100, 106)),
        draw(HASHES)[:20],
        draw(HASHES)[:20],
        tuple(bits),
        (0,) * count,
        (),
    ).encode()


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A batch that was good before somebody touched it."""
    truth = Sequencer(CONFIG)
    for nonce in range(3):
        truth.build(l1_genesis(), [l2_transaction(nonce, legacy=nonce == 1)])
    good = bytearray(draw(st.sampled_from([truth.span(1, 3), truth.singular(1, 1)[0]])))
    for _ in range(draw(st.integers(0, 3))):
        good[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
    return bytes(good[: draw(st.integers(0, len(good)))]) if draw(st.booleans()) else bytes(good)


CHANNEL_IDS = st.sampled_from([b"a" * 16, b"b" * 16])


@st.composite
def transactions(draw: st.DrawFn) -> bytes:
    batches = draw(st.lists(SINGULAR | spans() | mangled() | st.binary(max_size=60), max_size=4))
    data = compress(write_batches(batches), draw(st.sampled_from(["zlib", "brotli"])))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    size = draw(st.sampled_from([20, 10_000]))
    channel_id = draw(CHANNEL_IDS)
    frames = [
        Frame(channel_id, number, data[at : at + size], at + size >= len(data))
        for number, at in enumerate(range(0, len(data), size))
    ]
    frames = draw(st.permutations(frames)) if draw(st.booleans()) else frames
    frames += draw(
        st.lists(
            st.builds(Frame, CHANNEL_IDS, st.integers(0, 3), st.binary(max_size=9), st.booleans()),
            max_size=2,
        )
    )
    sent = encode_frames(frames)
    return sent + draw(st.sampled_from([b"", b"", b"", b"\0"]))


L1_DATA = st.lists(
    st.lists(transactions() | st.binary(max_size=80), max_size=3), min_size=1, max_size=L1_BLOCKS
)


def l1_with(sent: Sequence[Sequence[bytes]], step: int = 4) -> list[L1Block]:
    chain = [l1_genesis()]
    for each in sent:
        chain.append(l1_child(chain[-1], step, [inbox(data) for data in each]))
    return chain


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(L1_DATA)
def test_no_bytes_in_the_inbox_stop_derivation(sent: list[list[bytes]]) -> None:
    """The chain that comes out follows its own rules, to the end of L1."""
    config = CONFIG
    node = Node(config, l1_with(sent))

    node.run()

    assert node.pipeline is not None
    assert node.pipeline.origin == node.l1[-1].ref
    for parent, child in pairwise(node.chain):
        assert child.time == parent.time + config.block_time
        step = child.l1_origin.number - parent.l1_origin.number
        assert step in (0, 1)
        assert child.sequence_number == (0 if step else parent.sequence_number + 1)
        origin = node.block(child.l1_origin.number)
        assert origin is not None
        assert origin.ref.id == child.l1_origin
        assert origin.ref.time <= child.time


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(L1_DATA, st.data())
def test_the_same_l1_gives_the_same_chain_whenever_it_is_read(
    sent: list[list[bytes]], data: st.DataObject
) -> None:
    """Read with a restart at any place, even in the middle of a span."""
    chain = l1_with(sent)
    whole = Node(CONFIG, chain).run()
    part = Node(CONFIG, chain[: data.draw(st.integers(1, len(chain)))])
    part.run()
    kept = data.draw(st.integers(1, len(part.chain)))

    again = Node(CONFIG, chain, part.chain[:kept], systems=part.systems).run()

    assert again == whole
