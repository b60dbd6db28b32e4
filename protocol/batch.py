"""An attribution batch: its body, the four trees over it, and the header that goes on chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from protocol.claims import ANSWERS_MAX, CLAIMS_MAX, Answer, Claim, Entry, Holder
from protocol.codec import Reader, blob, require, uint
from protocol.merkle import ANSWER, BODY, CLAIM, TEXT, Commitment, Tree, byte_root
from protocol.parameters import HOLDERS_MAX
from protocol.receipt import OUTPUT_MAX, PROMPT_MAX, Receipt
from protocol.signature import SIGNATURE_BYTES
from protocol.sumtree import ENTRY_BITS, ID_BITS, SumTree, entry_position, entry_tree, total_tree

VERSION = 1
BODY_CLAIMS_MAX = 200_000
ENTRIES_MAX = 1_000_000
TOTALS_MAX = 1_000_000


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
    entries_root: bytes
    totals_root: bytes
    data_root: bytes  # the body, as a BODY tree
    data_size: int
    total: int  # wei, sum of all entries
    answer_count: int
    claim_count: int

    @property
    def body(self) -> Commitment:
        return Commitment(BODY, self.data_size, self.data_root)


@dataclass(frozen=True)
class Trees:
    answers: Tree
    claims: Tree
    entries: SumTree
    totals: SumTree

    def header(self, body: bytes) -> Header:
        roots = (self.answers.root, self.claims.root, self.entries.root.hash, self.totals.root.hash)
        data = (byte_root(BODY, body), len(body), self.entries.root.sum)
        return Header(*roots, *data, self.answers.count, self.claims.count)


@dataclass(frozen=True, slots=True)
class Body:
    """The pre-image of all four trees: who has it can open every leaf.

    body = version[1] ++ answers ++ claims ++ entries ++ totals, each counted by 4 bytes
    """

    answers: tuple[Answer, ...]
    texts: tuple[Text, ...]  # one per answer
    claims: tuple[Claim, ...]
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
            entry_tree(nodes),
            total_tree(dict(self.totals)),
        )

    def encode(self) -> bytes:
        parts = [uint(VERSION, 1), uint(len(self.answers), 4)]
        for answer, text in zip(self.answers, self.texts, strict=True):
            parts += [answer.receipt.encode(), answer.signature]
            parts += [uint(answer.first_claim, 4), uint(answer.claim_count, 4)]
            parts += [uint(answer.remainder_entry, 4), blob(text.prompt), blob(text.output)]
        parts.append(uint(len(self.claims), 4))
        parts += [_encode_claim(claim) for claim in self.claims]
        parts.append(uint(len(self.entries), 4))
        for number, entry in self.entries:
            numbers = (entry.contributor, number, entry.answer, entry.claim)
            parts += [uint(value, 4) for value in numbers]
            parts += [uint(entry.slot, 1), uint(entry.value, 16)]
        parts.append(uint(len(self.totals), 4))
        parts += [uint(who, 4) + uint(value, 16) for who, value in self.totals]
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raise `Malformed` unless `data` is canonical; what the leaves say is not judged here."""
        reader = Reader(data)
        require(reader.uint(1) == VERSION, "a body of an unknown version")
        answers, texts = [], []
        for _ in _counted(reader, ANSWERS_MAX, "answers"):
            receipt, signature = Receipt.read(reader), reader.take(SIGNATURE_BYTES)
            require(signature[64] in (27, 28), "v is 27 or 28")
            require(signature[32] < 0x80, "s over 255 bits")
            answers.append(Answer(receipt, signature, *(reader.uint(4) for _ in range(3))))
            texts.append(Text(reader.blob(limit=PROMPT_MAX), reader.blob(limit=OUTPUT_MAX)))
        claims = [_read_claim(reader) for _ in _counted(reader, BODY_CLAIMS_MAX, "claims")]
        entries = [_read_entry(reader) for _ in _counted(reader, ENTRIES_MAX, "entries")]
        rows = _counted(reader, TOTALS_MAX, "totals")
        totals = [(reader.uint(4), reader.uint(16)) for _ in rows]
        reader.end()
        ids = [who for who, _ in totals]
        require(ids == sorted(set(ids)), "totals out of order")
        require(not ids or ids[-1] >> ID_BITS == 0, "no such contributor")
        require(all(value for _, value in totals), "a total of zero")
        return cls(tuple(answers), tuple(texts), tuple(claims), tuple(entries), tuple(totals))


def _counted(reader: Reader, limit: int, name: str) -> range:
    count = reader.uint(4)
    require(count <= limit, f"{count} {name}, limit is {limit}")
    return range(count)


def _encode_claim(claim: Claim) -> bytes:
    numbers: Sequence[int] = (claim.answer, claim.start, claim.length, claim.own_start)
    numbers = (*numbers, claim.own_end, claim.left_by, claim.right_by, claim.echo)
    head = b"".join(uint(value, 4) for value in numbers) + uint(len(claim.who), 1)
    who = b"".join(
        uint(holder.shard, 4)
        + uint(holder.position, 8)
        + uint(holder.document, 4)
        + uint(holder.contributor, 4)
        + uint(holder.entry, 4)
        for holder in claim.who
    )
    return head + who + uint(claim.paid, 16)


def _read_claim(reader: Reader) -> Claim:
    answer, start, length, own_start, own_end, left, right, echo = (
        reader.uint(4) for _ in range(8)
    )
    holders = reader.uint(1)
    require(holders <= HOLDERS_MAX, f"{holders} holders, limit is {HOLDERS_MAX}")
    who = tuple(
        Holder(reader.uint(4), reader.uint(8), reader.uint(4), reader.uint(4), reader.uint(4))
        for _ in range(holders)
    )
    paid = reader.uint(16)
    return Claim(answer, start, length, own_start, own_end, left, right, echo, who, paid)


def _read_entry(reader: Reader) -> tuple[int, Entry]:
    contributor, number, answer, claim = (reader.uint(4) for _ in range(4))
    require(contributor >> ID_BITS == 0 and number >> ENTRY_BITS == 0, "no such entry")
    return number, Entry(contributor, answer, claim, reader.uint(1), reader.uint(16))


assert CLAIMS_MAX * ANSWERS_MAX >= BODY_CLAIMS_MAX
