"""Influences: which examples of an adapter made an answer; leaves of a batch (PROTOCOL.md 4)."""

from dataclasses import dataclass
from typing import Protocol

from eth_hash.auto import keccak

from protocol.claims import INFLUENCE_SLOT
from protocol.codec import require_uint, word
from protocol.merkle import INFLUENCE, leaf
from protocol.parameters import BPS, Parameters

NO_QUERY = bytes(32)  # Answer.query where the adapter has no feature set in force

__all__ = ["INFLUENCE_SLOT", "NO_QUERY", "Influence", "Paid", "part", "pot", "query_hash"]


@dataclass(frozen=True, slots=True)
class Influence:
    """Example `example` of the adapter's feature set made part of what no span covers."""

    answer: int
    example: int  # row of the feature set
    contributor: int
    entry: int  # number among the contributor's entries of the batch, 0 where nothing is paid
    score: int
    score_sum: int  # scores of this answer's influences up to and with this one
    paid: int  # wei, likewise

    def __post_init__(self) -> None:
        for name in ("answer", "example", "contributor", "entry"):
            require_uint(getattr(self, name), 32, name)
        require_uint(self.score, 64, "score")
        require_uint(self.score_sum, 64, "score_sum")
        require_uint(self.paid, 128, "paid")

    def words(self) -> bytes:
        """Solidity's abi.encode of the struct."""
        who = (self.answer, self.example, self.contributor, self.entry)
        return b"".join(map(word, (*who, self.score, self.score_sum, self.paid)))

    def leaf(self) -> bytes:
        return leaf(INFLUENCE, self.words())


def query_hash(query: bytes) -> bytes:
    """`Answer.query` for the feature of an answer; an empty one stands for none."""
    return keccak(query) if query else NO_QUERY


class Paid(Protocol):
    """What of a receipt decides a pot, whether or not it keeps the limits of a `Receipt`."""

    @property
    def amount(self) -> int: ...
    @property
    def output_size(self) -> int: ...


def pot(receipt: Paid, covered: int, parameters: Parameters) -> int:
    """Wei that the influences of an answer share, of which spans cover `covered` bytes."""
    share, size = parameters.contributors_share(receipt.amount), receipt.output_size
    if covered >= size:
        return 0
    return share * (size - covered) * parameters.influence_bps // (size * BPS)


def part(whole: int, score: int, score_total: int) -> int:
    """What an influence gets of a pot, rounded down."""
    return whole * score // score_total if score_total else 0
