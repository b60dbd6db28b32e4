"""How to draw what batches carry: signed-looking transactions of one chain, blocks, batches."""

from hypothesis import strategies as st

from rollup.codec.batch import SingularBatch
from rollup.codec.frame import Frame
from rollup.codec.span import SpanBatch, SpanBlock
from rollup.codec.strict import Encodable, encode

CHAIN_ID = 9017
GENESIS_TIME = 1_700_000_000
BLOCK_TIME = 2

u8, u16 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1)
u64, u256 = st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1)
words, addresses = st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20)
access_lists = st.lists(st.tuples(addresses, st.lists(words, max_size=2)), max_size=2)
authorisations = st.lists(st.tuples(u256, addresses, u64, u8, u256, u256), max_size=2)


@st.composite
def transactions(draw: st.DrawFn) -> bytes:
    """The bytes of a transaction of any type that a span batch may hold."""
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    nonce, gas, value, r, s = draw(u64), draw(u64), draw(u256), draw(u256), draw(u256)
    to = draw(addresses) if kind == 4 else draw(st.one_of(addresses, st.just(b"")))
    data, parity = draw(st.binary(max_size=80)), draw(st.integers(0, 1))
    fees: list[Encodable] = [draw(u256) for _ in range(1 if kind < 2 else 2)]
    if kind == 0:
        v = parity + draw(st.sampled_from([27, 35 + 2 * CHAIN_ID]))
        return encode([nonce, *fees, gas, to, value, data, v, r, s])
    lists: list[Encodable] = [draw(access_lists)]
    if kind == 4:
        lists.append(draw(authorisations))
    body: list[Encodable] = [CHAIN_ID, nonce, *fees, gas, to, value, data, *lists, parity, r, s]
    return bytes((kind,)) + encode(body)


@st.composite
def span_blocks(draw: st.DrawFn) -> list[SpanBlock]:
    """Consecutive blocks; L1 origins stay or step by one."""
    start, epoch = draw(st.integers(0, 2**32)), draw(st.integers(1, 2**32))
    blocks = []
    for i in range(draw(st.integers(1, 20))):
        epoch += draw(st.integers(0, 1))
        raw = tuple(draw(st.lists(transactions(), max_size=3)))
        blocks.append(SpanBlock(GENESIS_TIME + start + i * BLOCK_TIME, epoch, raw))
    return blocks


@st.composite
def span_batches(draw: st.DrawFn) -> SpanBatch:
    blocks = draw(span_blocks())
    return SpanBatch.from_blocks(
        blocks,
        parent_hash=draw(words),
        parent_epoch_number=blocks[0].epoch_number - draw(st.integers(0, 1)),
        l1_origin_hash=draw(words),
        genesis_time=GENESIS_TIME,
        chain_id=CHAIN_ID,
    )


frames = st.builds(
    Frame, st.binary(min_size=16, max_size=16), u16, st.binary(max_size=100), st.booleans()
)
singular_batches = st.builds(
    SingularBatch,
    words,
    u64,
    words,
    u64,
    st.lists(st.binary(max_size=80), max_size=5).map(tuple),
)


def flipped(wire: bytes, data: st.DataObject) -> bytes:
    """`wire` with one bit turned, somewhere."""
    out = bytearray(wire)
    out[data.draw(st.integers(0, len(out) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(out)
