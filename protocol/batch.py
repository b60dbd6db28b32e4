"""An attribution batch: its body, the five trees over it, and the header that goes on chain."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from protocol.claims import ANSWERS_MAX, CLAIMS_MAX, Answer, Claim, Entry, Holder
from protocol.codec import Reader, blob, require, uint
from protocol.features import DIMENSION
from protocol.influences import Influence, query_hash
from protocol.merkle import ANSWER, BODY, CLAIM, INFLUENCE, TEXT, Commitment, Tree, byte_root
from protocol.parameters import HOLDERS_MAX
from protocol.receipt import OUTPUT_MAX, PROMPT_MAX, Receipt
from protocol.signature import SIGNATURE_BYTES
from protocol.sumtree import ENTRY_BITS, ID_BITS, SumTree, entry_position, entry_tree, total_tree

VERSION = 2
BODY_CLAIMS_MAX = 200_000
BODY_INFLUENCES_MAX = 640_000
ENTRIES_MAX = HOLDERS_MAX * BODY_CLAIMS_MAX + BODY_INFLUENCES_MAX + ANSWERS_MAX
TOTALS_MAX = 1_000_000
_ANSWER = struct.Struct(">IIIIIIQ")
_CLAIM = struct.Struct(">IIIIIIIIB")
_HOLDER = struct.Struct(">IQIII")
_OWNED = struct.Struct(">IQQ")  # covered, paid
_INFLUENCE = struct.Struct(">IIIIQQQQ")
_ENTRY = struct.Struct(">IIIIBQQ")
_TOTAL = struct.Struct(">IQQ")


@dataclass(frozen=True, slots=True)
class Text:
    """The prompt and the output that a receipt commits to."""

    prompt: bytes
    output: bytes

    def __post_init__(self) -> None:
        require(len(self.prompt) <= PROMPT_MAX, "prompt over the limit")
        require(len(self.output) <= OUTPUT_MAX, "output over the limit")

    def matches(self, receipt: Receipt) -> bool:
        sizes = (len(self.prompt), len(self.output)) == (receipt.prompt_size, receipt.output_size)
        roots = byte_root(TEXT, self.prompt), byte_root(TEXT, self.output)
        return sizes and roots == (receipt.prompt_root, receipt.output_root)


@dataclass(frozen=True, slots=True)
class Header:
    """What the poster puts on chain, in the order of the contract's struct."""

    answers_root: bytes
    claims_root: bytes
    influences_root: bytes
    entries_root: bytes
    totals_root: bytes
    data_root: bytes  # the body, as a BODY tree
    data_size: int
    total: int  # wei, sum of all entries
    answer_count: int
    claim_count: int
    influence_count: int
    as_of: int  # the chain's time that the body was composed for, unix seconds

    @property
    def body(self) -> Commitment:
        return Commitment(BODY, self.data_size, self.data_root)


@dataclass(frozen=True)
class Trees:
    answers: Tree
    claims: Tree
    influences: Tree
    entries: SumTree
    totals: SumTree

    def header(self, body: bytes, as_of: int) -> Header:
        return Header(
            self.answers.root,
            self.claims.root,
            self.influences.root,
            self.entries.root.hash,
            self.totals.root.hash,
            byte_root(BODY, body),
            len(body),
            self.entries.root.sum,
            self.answers.count,
            self.claims.count,
            self.influences.count,
            as_of,
        )


@dataclass(frozen=True, slots=True)
class Body:
    """The pre-image of all five trees: who has it can open every leaf.

    body = version[1] ++ answers ++ claims ++ influences ++ entries ++ totals, each counted by
    4 bytes
    """

    answers: tuple[Answer, ...]
    texts: tuple[Text, ...]  # one per answer
    queries: tuple[bytes, ...]  # likewise: its feature, or nothing
    claims: tuple[Claim, ...]
    influences: tuple[Influence, ...]
    entries: tuple[tuple[int, Entry], ...]  # (number among the contributor's, entry)
    totals: tuple[tuple[int, int], ...]  # (contributor, cumulative wei), increasing, no zero

    def trees(self) -> Trees:
        """Raise `Malformed` where no tree with these leaves exists."""
        places = [entry_position(entry.contributor, n) for n, entry in self.entries]
        require(len(set(places)) == len(places), "two entries in one place")
        nodes = dict(zip(places, (entry.node() for _, entry in self.entries), strict=True))
        return Trees(
            Tree(ANSWER, [answer.leaf() for answer in self.answers]),
            Tree(CLAIM, [claim.leaf() for claim in self.claims]),
            Tree(INFLUENCE, [influence.leaf() for influence in self.influences]),
            entry_tree(nodes),
            total_tree(dict(self.totals)),
        )

    def encode(self) -> bytes:
        parts = [uint(VERSION, 1), uint(len(self.answers), 4)]
        for answer, text, query in zip(self.answers, self.texts, self.queries, strict=True):
            parts += [answer.receipt.encode(), answer.signature, _encode_places(answer)]
            parts += [blob(query), blob(text.prompt), blob(text.output)]
        parts.append(uint(len(self.claims), 4))
        parts += [_encode_claim(claim) for claim in self.claims]
        parts.append(uint(len(self.influences), 4))
        parts += [_encode_influence(influence) for influence in self.influences]
        parts.append(uint(len(self.entries), 4))
        parts += [_encode_entry(number, entry) for number, entry in self.entries]
        parts.append(uint(len(self.totals), 4))
        parts += [_TOTAL.pack(who, *divmod(value, 1 << 64)) for who, value in self.totals]
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raise `Malformed` unless `data` is canonical; what the leaves say is not judged here."""
        reader = Reader(data)
        require(reader.uint(1) == VERSION, "a body of an unknown version")
        answers, texts, queries = list[Answer](), list[Text](), list[bytes]()
        for _ in range(_counted(reader, ANSWERS_MAX, "answers")):
            answers.append(_read_answer(reader, queries))
            texts.append(Text(reader.blob(limit=PROMPT_MAX), reader.blob(limit=OUTPUT_MAX)))
        count = _counted(reader, BODY_CLAIMS_MAX, "claims")
        claims = tuple(_read_claim(reader) for _ in range(count))
        influences = tuple(_read_influences(reader))
        entries = tuple(_read_entries(reader))
        totals = tuple(_read_totals(reader))
        reader.end()
        return cls(
            tuple(answers), tuple(texts), tuple(queries), claims, influences, entries, totals
        )


def _counted(reader: Reader, limit: int, name: str) -> int:
    count = reader.uint(4)
    require(count <= limit, f"{count} {name}, limit is {limit}")
    return count


def _rows(reader: Reader, row: struct.Struct, limit: int, name: str) -> Iterable[tuple[int, ...]]:
    return row.iter_unpack(reader.take(row.size * _counted(reader, limit, name)))


def _encode_places(answer: Answer) -> bytes:
    places = (answer.first_claim, answer.claim_count)
    more = (answer.first_influence, answer.influence_count, answer.remainder_entry)
    return _ANSWER.pack(*places, *more, answer.covered, answer.score_total)


def _read_answer(reader: Reader, queries: list[bytes]) -> Answer:
    """Also puts what its `query` is the hash of at the end of `queries`."""
    receipt, signature = Receipt.read(reader), reader.take(SIGNATURE_BYTES)
    require(signature[64] in (27, 28), "v is 27 or 28")
    require(signature[32] < 0x80, "s over 255 bits")
    claim, claims, influence, influences, remainder, covered, total = _ANSWER.unpack(
        reader.take(_ANSWER.size)
    )
    query = reader.blob(limit=DIMENSION)
    queries.append(query)
    places = (claim, claims, influence, influences, remainder)
    return Answer(receipt, signature, *places, covered, total, query_hash(query))


def _encode_claim(claim: Claim) -> bytes:
    span = (claim.answer, claim.start, claim.length, claim.own_start, claim.own_end)
    head = _CLAIM.pack(*span, claim.left_by, claim.right_by, claim.echo, len(claim.who))
    who = (_HOLDER.pack(h.shard, h.position, h.document, h.contributor, h.entry) for h in claim.who)
    return head + b"".join(who) + _OWNED.pack(claim.covered, *divmod(claim.paid, 1 << 64))


def _read_claim(reader: Reader) -> Claim:
    answer, start, length, own_start, own_end, left, right, echo, holders = _CLAIM.unpack(
        reader.take(_CLAIM.size)
    )
    require(holders <= HOLDERS_MAX, f"{holders} holders, limit is {HOLDERS_MAX}")
    rows = _HOLDER.iter_unpack(reader.take(holders * _HOLDER.size))
    who = tuple(Holder(*row) for row in rows)
    covered, high, low = _OWNED.unpack(reader.take(_OWNED.size))
    paid = high << 64 | low
    return Claim(answer, start, length, own_start, own_end, left, right, echo, who, covered, paid)


def _encode_influence(one: Influence) -> bytes:
    who = (one.answer, one.example, one.contributor, one.entry)
    return _INFLUENCE.pack(*who, one.score, one.score_sum, *divmod(one.paid, 1 << 64))


def _read_influences(reader: Reader) -> Iterator[Influence]:
    for row in _rows(reader, _INFLUENCE, BODY_INFLUENCES_MAX, "influences"):
        answer, example, contributor, entry, score, score_sum, high, low = row
        paid = high << 64 | low
        yield Influence(answer, example, contributor, entry, score, score_sum, paid)


def _encode_entry(number: int, entry: Entry) -> bytes:
    numbers = (entry.contributor, number, entry.answer, entry.claim, entry.slot)
    return _ENTRY.pack(*numbers, *divmod(entry.value, 1 << 64))


def _read_entries(reader: Reader) -> Iterator[tuple[int, Entry]]:
    for row in _rows(reader, _ENTRY, ENTRIES_MAX, "entries"):
        contributor, number, answer, claim, slot, high, low = row
        require(contributor >> ID_BITS == 0 and number >> ENTRY_BITS == 0, "no such entry")
        yield number, Entry(contributor, answer, claim, slot, high << 64 | low)


def _read_totals(reader: Reader) -> Iterator[tuple[int, int]]:
    before = -1
    for who, high, low in _rows(reader, _TOTAL, TOTALS_MAX, "totals"):
        require(who > before, "totals out of order")
        require(who >> ID_BITS == 0, "no such contributor")
        require(high > 0 or low > 0, "a total of zero")
        before = who
        yield who, high << 64 | low


assert CLAIMS_MAX * ANSWERS_MAX >= BODY_CLAIMS_MAX
