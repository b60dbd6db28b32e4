"""A small world in which batches are honest or lie: its corpus, its people, its drawn answers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from hypothesis import strategies as st

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus, CorpusShard
from attribution.influence.scores import influences_of
from attribution.influence.store import FeatureSet
from attribution.openings import Case, down_examples
from attribution.spans import spans_of
from protocol.batch import Body, Header, Text
from protocol.court import NO_ROOT
from protocol.datanet import Contribution, Document, Shard, assemble, shard_of, terms_of
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow, dot, near, norm2
from protocol.merkle import FEATURE, TEXT, Commitment, byte_root
from protocol.parameters import OPEN, Parameters
from protocol.receipt import Receipt
from protocol.signature import Domain, address_of, sign
from protocol.sumtree import Node, total_tree

RULES = Parameters(
    span_min=16,
    span_max=64,
    holders_max=3,
    window=1000,
    response=100,
    datanet_window=1000,
    influences_max=3,
    duplicate_bps=9_800,
)
CONTRIBUTORS = 5
TERMS = terms_of("text/plain", "CC0-1.0")
BASE, ADAPTER = b"\xb0" * 32, b"\xad" * 32
REDEEMED = 1000 * OPEN
FUNDED = RULES.contributors_share(REDEEMED)

# Shared phrases make several holders; some cross the 256-byte leaves; some need UTF-8 care.
PHRASES = [
    text.encode()
    for text in (
        "the quick brown fox jumps over the lazy dog",
        "a lazy dog sleeps under the old oak tree and dreams of foxes in the quiet evening light",
        "naïve café déjà vu — über straße, crème brûlée",
        "total = foo(bar, baz_1) + 42; return total",
        "to be or not to be that is the question",
        "jumps over the lazy dog and runs away from",
        "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789",
    )
]
NOISE = [b" ", b"\n", b" and ", b"x", b"\xff", "é".encode(), b"_", b". ", b"9", b"!?"]
_SHARDS = (  # documents as (contributor, phrases)
    [
        (1, (0, 1)),
        (2, (1, 3, 4)),
        (3, (4, 0, 2, 6, 5)),
        (1, (3,)),
    ],
    [(4, (0, 4, 1, 2)), (2, (5, 2)), (5, (1, 6, 4, 0))],
)


def secret(name: str) -> bytes:
    return name.encode().rjust(32, b"\x01")


HOST, PAYER = address_of(secret("host")), address_of(secret("payer"))


def contributor_secret(number: int) -> bytes:
    return secret(f"contributor {number}")


def shards(registry: Domain, datanet: int = 1) -> list[tuple[bytes, tuple[Document, ...]]]:
    """The text and document table of each shard, signed."""
    found = []
    for rows in _SHARDS:
        joint = [b" ".join(PHRASES[n] for n in numbers) for _, numbers in rows]
        text, starts = assemble(joint)
        table = []
        for (who, _), data, start in zip(rows, joint, starts, strict=True):
            root, nonce = byte_root(TEXT, data), start
            contribution = Contribution(datanet, root, len(data), TERMS, who, nonce)
            signature = sign(contributor_secret(who), contribution.digest(registry))
            table.append(Document(start, len(data), who, nonce, root, TERMS, signature))
        found.append((text, tuple(table)))
    return found


@dataclass(frozen=True, slots=True)
class FeaturesOf:
    """A feature set as a judge knows it."""

    features: Commitment
    example_count: int


def _signs(name: str) -> list[int]:
    """A feature of only -32 and 32, as good as random."""
    stream = b"".join(hashlib.sha256(f"{name} {n}".encode()).digest() for n in range(8))
    return [32 if byte >> bit & 1 else -32 for byte in stream for bit in range(8)]


def _packed(values: Sequence[int]) -> bytes:
    return bytes(value & 0xFF for value in values)


def _flipped(values: Sequence[int], start: int, end: int) -> list[int]:
    return [-value if start <= at < end else value for at, value in enumerate(values)]


_ONE, _OTHER = _signs("one"), _signs("other")
# Two that tie for a query of _ONE, one of nothing, and a chain of duplicates whose ends are not.
_EXAMPLES = [
    _ONE,
    _flipped(_ONE, 0, 512),
    _flipped(_ONE, 512, 1024),
    _OTHER,
    _flipped(_ONE, 0, 10),
    [0] * DIMENSION,
    _flipped(_ONE, 0, 25),
]


def query_of(text: Text) -> bytes:
    """A feature for an answer: some of its coordinates of one example, the rest of another."""
    share = hashlib.sha256(text.output).digest()[0] * 8 % (DIMENSION + 1)
    return _packed(_ONE[:share] + _OTHER[share:])


def feature_rows(
    bodies: Sequence[tuple[bytes, tuple[Document, ...]]], parameters: Parameters = RULES
) -> list[FeatureRow]:
    """The honest rows for the documents of these shards."""
    places = [(s, d, row) for s, (_, table) in enumerate(bodies) for d, row in enumerate(table)]
    rows = list[FeatureRow]()
    for values, (shard, document, row) in zip(_EXAMPLES, places, strict=True):
        phi = _packed(values)
        earlier = (
            number
            for number, other in enumerate(rows)
            if near(dot(other.phi, phi), norm2(other.phi), norm2(phi), parameters)
        )
        duplicate_of = next(earlier, NO_EXAMPLE)
        root = row.content_root
        rows.append(FeatureRow(shard, document, row.contributor, duplicate_of, root, phi))
    return rows


@dataclass(frozen=True)
class World:
    """Everything around a pending batch; it is a `protocol.court.Context`."""

    escrow: Domain
    bodies: Sequence[tuple[bytes, tuple[Document, ...]]]
    parameters: Parameters = RULES
    before: Mapping[int, int] = field(default_factory=dict)  # wei by contributor
    final: Mapping[int, Case] = field(default_factory=dict)
    as_of: int = 0  # unix seconds
    rows: Sequence[FeatureRow] = ()  # of the adapter's feature set, if it has one
    finalized_at: int = 0  # when that set came into force
    takedowns: Mapping[tuple[int, int], int] = field(default_factory=dict)  # when, by document

    @cached_property
    def old_totals(self) -> Node:
        return total_tree(self.before).root if self.before else NO_ROOT

    @cached_property
    def down(self) -> frozenset[tuple[int, int]]:
        """The (shard, document) that were taken down as of this world's time."""
        return frozenset(place for place, at in self.takedowns.items() if at <= self.as_of)

    @cached_property
    def texts(self) -> Corpus:
        found = []
        for number, (text, table) in enumerate(self.bodies):
            down = frozenset(row for shard, row in self.down if shard == number)
            found.append(CorpusShard(text, tuple(table), down))
        return Corpus(tuple(found))

    @cached_property
    def examples(self) -> FeatureSet | None:
        """The feature set in force."""
        if not self.rows or self.as_of < self.finalized_at:
            return None
        return FeatureSet(b"".join(row.encode() for row in self.rows))

    def features(self, adapter: bytes) -> FeaturesOf | None:
        if self.examples is None or adapter != ADAPTER:
            return None
        size = sum(len(row.encode()) for row in self.rows)
        return FeaturesOf(Commitment(FEATURE, size, self.examples.root), len(self.rows))

    def is_down(self, adapter: bytes, shard: int, document: int) -> bool:
        return adapter == ADAPTER and (shard, document) in self.down

    def any_down(self, adapter: bytes) -> bool:
        return adapter == ADAPTER and bool(self.down)

    @cached_property
    def shards(self) -> list[Shard]:
        return [shard_of(text, table) for text, table in self.bodies]

    def corpus(self, adapter: bytes) -> Sequence[Shard]:
        return self.shards if adapter == ADAPTER else []

    def redeemed(self, payer: bytes, host: bytes, adapter: bytes) -> int:
        return REDEEMED if (payer, host, adapter) == (PAYER, HOST, ADAPTER) else 0

    def earlier_header(self, batch: int) -> Header | None:
        case = self.final.get(batch)
        return header_of(case) if case else None

    def receipt(self, text: Text, amount: int, cumulative: int, nonce: int = 0) -> Receipt:
        roots = byte_root(TEXT, text.prompt), byte_root(TEXT, text.output)
        sizes = len(text.prompt), len(text.output)
        zeros = bytes(32)
        return Receipt(
            *(zeros, BASE, ADAPTER, zeros, roots[0], sizes[0], roots[1], sizes[1], zeros),
            *(len(text.prompt), len(text.output), amount, cumulative, 0, 0, nonce, 2**40),
            HOST,
            PAYER,
        )

    def signed(self, receipt: Receipt) -> bytes:
        return sign(secret("host"), receipt.digest(self.escrow))

    def answered(self, texts: Sequence[tuple[Text, int]], paid: int = 0) -> list[Answered]:
        """Attributed answers of (text, wei), paid one after the other beyond `paid`."""
        found, corpus = [], self.texts
        for text, amount in texts:
            paid += amount
            receipt = self.receipt(text, amount, paid)
            spans = spans_of(corpus, text.prompt, text.output, self.parameters)
            item = Answered(receipt, self.signed(receipt), text, tuple(spans))
            found.append(self.influenced(item, query_of(text)) if self.examples else item)
        return found

    def influenced(self, item: Answered, query: bytes) -> Answered:
        """With its query and the list that follows from it."""
        assert self.examples is not None
        down = down_examples(self.texts, self.examples)
        listed = influences_of(self.examples, query, self.parameters, down)
        return replace(item, query=query, influences=tuple(listed))

    def body(self, answered: Sequence[Answered]) -> Body:
        digests = [item.receipt.digest(self.escrow) for item in answered]
        return build_body(answered, digests, self.before, self.parameters)

    def case(self, batch: int, body: Body) -> Case:
        digests = tuple(answer.receipt.digest(self.escrow) for answer in body.answers)
        return Case(
            batch,
            body,
            body.trees(),
            digests,
            {ADAPTER: self.texts},
            self.before,
            self.parameters,
            {ADAPTER: self.examples} if self.examples else {},
            self.as_of,
        )

    def after(self, case: Case) -> "World":
        """The world when that batch has become final."""
        return replace(self, before=dict(case.body.totals), final={**self.final, case.batch: case})


def header_of(case: Case) -> Header:
    return case.trees.header(case.body.encode(), case.as_of)


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """An answer stitched of phrases, parts of phrases and noise; sometimes asked for by name."""
    parts, asked = [], []
    for _ in range(draw(st.integers(1, 6))):
        phrase = draw(st.sampled_from(PHRASES))
        start = draw(st.integers(0, len(phrase) // 2)) if draw(st.booleans()) else 0
        parts.append(phrase[start : draw(st.integers(start + 1, len(phrase)))])
        parts.append(draw(st.sampled_from([b" ", b" ", *NOISE])))
        if draw(st.integers(0, 3)) == 0:
            asked.append(draw(st.sampled_from(NOISE)) + parts[-2])
    return Text(b"please: ".join([b"", *asked]), b"".join(parts))


amounts = st.integers(1, 5 * OPEN)
questions = st.lists(st.tuples(texts(), amounts), min_size=1, max_size=3)
