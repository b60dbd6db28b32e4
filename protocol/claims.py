"""Answers, span claims and entries: the leaves of an attribution batch (PROTOCOL.md 3 and 5).

Leaf payloads are Solidity's static ABI encoding, one 32-byte word a field, so that the contract
takes them as typed structs and the ABI decoder itself bounds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.codec import require_uint, word
from protocol.merkle import ANSWER, CLAIM, leaf
from protocol.parameters import BPS, HOLDERS_MAX, Parameters
from protocol.receipt import Receipt
from protocol.signature import SIGNATURE_BYTES, compact
from protocol.sumtree import Node, entry_leaf

REMAINDER = 0xFFFFFFFF  # the claim number of what no span of an answer earned
TREASURY = 0  # contributor id
CLAIMS_MAX = 2048  # of one answer
ANSWERS_MAX = 10_000  # of one batch
INFLUENCE_SLOT = 4  # of an entry whose `claim` is the number of an influence


@dataclass(frozen=True, slots=True)
class Answer:
    """A receipt with its host's signature and where its claims stand in the batch."""

    receipt: Receipt
    signature: bytes  # 65 bytes, by the host
    first_claim: int
    claim_count: int
    first_influence: int
    influence_count: int
    remainder_entry: int
    covered: int  # bytes of the output under spans
    score_total: int  # of all its influences
    query: bytes = bytes(32)  # keccak of the answer's feature, zeros where no set is in force

    def __post_init__(self) -> None:
        assert len(self.signature) == SIGNATURE_BYTES
        assert len(self.query) == 32

    def words(self) -> bytes:
        r, vs = compact(self.signature)
        places = (self.first_claim, self.claim_count, self.first_influence, self.influence_count)
        numbers = (*places, self.remainder_entry, self.covered, self.score_total)
        return self.receipt.words() + r + vs + b"".join(map(word, numbers)) + self.query

    def leaf(self) -> bytes:
        return leaf(ANSWER, self.words())


@dataclass(frozen=True, slots=True)
class Holder:
    """Where a contributor's first copy of a span stands in the corpus."""

    shard: int = 0
    position: int = 0  # byte of the shard's text
    document: int = 0  # row of the shard's document table
    contributor: int = 0
    entry: int = 0  # number among the contributor's entries of the batch

    def __post_init__(self) -> None:
        for name in ("shard", "document", "contributor", "entry"):
            require_uint(getattr(self, name), 32, name)
        require_uint(self.position, 64, "position")

    def words(self) -> bytes:
        parts = (self.shard, self.position, self.document, self.contributor, self.entry)
        return b"".join(map(word, parts))


NOBODY = Holder()


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes [start, start + length) of an answer come from the corpus, and from whom."""

    answer: int
    start: int
    length: int
    own_start: int
    own_end: int
    left_by: int  # global claim number that bounds what is owned on the left, or its own
    right_by: int
    echo: int  # 1 + where the span's bytes occur in the prompt, or 0
    who: tuple[Holder, ...] = field(default=())
    covered: int = 0  # bytes that this answer's claims own, up to and with this one
    paid: int = 0  # wei, amounts of this answer's claims up to and with this one

    def __post_init__(self) -> None:
        for name in ("answer", "start", "length", "own_start", "own_end", "left_by", "right_by"):
            require_uint(getattr(self, name), 32, name)
        require_uint(self.echo, 32, "echo")
        require_uint(self.covered, 32, "covered")
        require_uint(self.paid, 128, "paid")
        assert len(self.who) <= HOLDERS_MAX

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def owned(self) -> int:
        """Bytes of the answer that are this span's alone."""
        return max(0, self.own_end - self.own_start)

    def words(self) -> bytes:
        span = (self.answer, self.start, self.length, self.own_start, self.own_end)
        numbers = (*span, self.left_by, self.right_by, self.echo, len(self.who))
        slots = self.who + (NOBODY,) * (HOLDERS_MAX - len(self.who))
        holders = b"".join(holder.words() for holder in slots)
        return b"".join(map(word, numbers)) + holders + word(self.covered) + word(self.paid)

    def leaf(self) -> bytes:
        return leaf(CLAIM, self.words())

    def amount(self, receipt: Receipt, parameters: Parameters) -> int:
        """Wei that the span earns of the answer's contributor share, rounded down."""
        if self.echo:
            return 0
        share = parameters.contributors_share(receipt.amount)
        weight = parameters.weight(self.length, len(self.who))
        return share * self.owned * weight // (receipt.output_size * BPS * BPS)


def split(amount: int, holders: int) -> list[int]:
    """An amount among the holders of a span: all of it is the earliest's.

    Who copies holds it later and gets nothing of it; the others only say how common a phrase is.
    """
    return [amount] + [0] * (holders - 1)


def owned_intervals(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """(own start, own end, left by, right by) of each (start, length) of one answer.

    Each byte belongs to the longest span over it (ties: the earlier).  Starts and ends both
    increase, so what a span owns is one interval: an earlier span at least as long cuts it on the
    left, a later longer one on the right.  `left by` and `right by` are places in `spans`.
    """
    found = []
    for j, (start, length) in enumerate(spans):
        own_start, left_by = start, j
        for i in range(j - 1, -1, -1):
            end = sum(spans[i])
            if end <= start:
                break  # ends increase, so nothing before reaches further
            if spans[i][1] >= length:
                own_start, left_by = end, i
                break
        own_end, right_by = start + length, j
        for k in range(j + 1, len(spans)):
            if spans[k][0] >= own_end:
                break
            if spans[k][1] > length:
                own_end, right_by = spans[k][0], k
                break
        found.append((own_start, own_end, left_by, right_by))
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One payment of a batch, as a leaf of its entry tree."""

    contributor: int
    answer: int
    claim: int  # global number of a claim or, in INFLUENCE_SLOT, of an influence; or REMAINDER
    slot: int
    value: int  # wei

    @property
    def order(self) -> tuple[int, bool, int, int]:
        """What numbers the entries of one contributor."""
        return self.answer, self.slot == INFLUENCE_SLOT, self.claim, self.slot

    def node(self) -> Node:
        return entry_leaf(self.answer, self.claim, self.slot, self.value)
