"""How to draw any valid protocol value."""

from dataclasses import replace

from hypothesis import strategies as st

from protocol.batch import Body, Text
from protocol.claims import Answer, Claim, Entry, Holder
from protocol.influences import Influence, query_hash
from protocol.merkle import TEXT, byte_root
from protocol.messages import Finding, PaidAnswer, Verdict
from protocol.receipt import Receipt, Voucher

u8, u32 = st.integers(0, 2**8 - 1), st.integers(0, 2**32 - 1)
u64, u128 = st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1)
words, addresses = st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20)
sizes = st.integers(0, 24 * 1024)
signatures = st.tuples(words, st.integers(0, 2**255 - 1), st.sampled_from([27, 28])).map(
    lambda parts: parts[0] + parts[1].to_bytes(32, "big") + bytes((parts[2],))
)
texts = st.builds(Text, st.binary(max_size=60), st.binary(max_size=600))


@st.composite
def receipts(draw: st.DrawFn, text: Text | None = None) -> Receipt:
    """A receipt, of `text` when given."""
    amount = draw(st.integers(0, 2**100))
    prompt, output = (text.prompt, text.output) if text else (b"", b"")
    return Receipt(
        *(draw(words) for _ in range(4)),
        byte_root(TEXT, prompt) if text else draw(words),
        len(prompt) if text else draw(sizes),
        byte_root(TEXT, output) if text else draw(words),
        len(output) if text else draw(sizes),
        draw(words),
        draw(u32),
        draw(u32),
        amount,
        amount + draw(st.integers(0, 2**100)),
        draw(u64),
        draw(u8),
        draw(u64),
        draw(u64),
        draw(addresses),
        draw(addresses),
    )


vouchers = st.builds(Voucher, addresses, addresses, words, u128)
holders = st.builds(Holder, u32, u64, u32, u32, u32)
claims = st.builds(
    Claim, *[u32] * 8, who=st.lists(holders, max_size=4).map(tuple), covered=u32, paid=u128
)
influences = st.builds(Influence, *[u32] * 4, u64, u64, u128)
queries = st.just(b"") | st.binary(max_size=12) | st.binary(min_size=2048, max_size=2048)
contributors, numbers = st.integers(0, 2**24 - 1), st.integers(0, 2**20 - 1)
entries = st.builds(Entry, contributors, u32, u32, u8, u128)
answers = st.builds(Answer, receipts(), signatures, *[u32] * 6, u64)
paid_answers = texts.flatmap(
    lambda text: st.builds(PaidAnswer, receipts(text), signatures, st.just(text))
)
verdicts = st.builds(Verdict, u64, words, st.sampled_from(Finding))


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Any decodable body; its leaves need not make sense together."""
    asked = [draw(queries) for _ in range(draw(st.integers(0, 3)))]
    rows = [replace(draw(answers), query=query_hash(query)) for query in asked]
    ids = draw(st.lists(contributors, max_size=4, unique=True).map(sorted))
    return Body(
        tuple(rows),
        tuple(draw(texts) for _ in rows),
        tuple(asked),
        tuple(draw(st.lists(claims, max_size=4))),
        tuple(draw(st.lists(influences, max_size=4))),
        tuple(draw(st.lists(st.tuples(numbers, entries), max_size=4))),
        tuple((who, draw(st.integers(1, 2**128 - 1))) for who in ids),
    )
