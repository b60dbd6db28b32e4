"""Answers, claims and influences as they were hashed: words, with no limits judged yet.

A liar's leaf may hold what our own types refuse; it must still be possible to show it to a judge.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from protocol.codec import require, uint, word
from protocol.parameters import HOLDERS_MAX
from protocol.receipt import Receipt
from protocol.windows import Window

_RECEIPT = [kind for kind, _ in Receipt.members()]
_ANSWER = [*_RECEIPT, "bytes32", "bytes32", *["uint32"] * 6, "uint64", "bytes32"]
_HOLDER = ["uint32", "uint64", "uint32", "uint32", "uint32"]
_CLAIM = ["uint32"] * 9 + _HOLDER * HOLDERS_MAX + ["uint32", "uint128"]
_INFLUENCE = [*["uint32"] * 4, "uint64", "uint64", "uint128"]
RECEIPT_BYTES = 32 * len(_RECEIPT)


class Slot(NamedTuple):
    shard: int
    position: int
    document: int
    contributor: int
    entry: int


class ClaimWords(NamedTuple):
    """A claim as it was hashed: any numbers, `holders` need not fit the slots."""

    answer: int
    start: int
    length: int
    own_start: int
    own_end: int
    left_by: int
    right_by: int
    echo: int
    holders: int
    who: tuple[Slot, ...]  # all HOLDERS_MAX slots
    covered: int
    paid: int

    @property
    def end(self) -> int:
        return self.start + self.length

    def words(self) -> bytes:
        """Solidity's abi.encode of the struct."""
        return b"".join(word(number) for number in self._values())

    def packed(self) -> bytes:
        """How an opening carries it: each field as wide as its type."""
        return _pack(_CLAIM, self._values())

    def _values(self) -> tuple[int, ...]:
        return (*self[:9], *chain(*self.who), self.covered, self.paid)


class ReceiptWords(NamedTuple):
    """A receipt as it was hashed, its limits not yet judged."""

    request: bytes
    base: bytes
    adapter: bytes
    sampling: bytes
    prompt_root: bytes
    prompt_size: int
    output_root: bytes
    output_size: int
    leaves_root: bytes
    prompt_tokens: int
    output_tokens: int
    amount: int
    cumulative: int
    seed: int
    fingerprint: int
    nonce: int
    deadline: int
    host: bytes
    payer: bytes

    @property
    def output(self) -> "Window":
        return Window(self.output_root, self.output_size)

    @property
    def prompt(self) -> "Window":
        return Window(self.prompt_root, self.prompt_size)


class AnswerWords(NamedTuple):
    receipt: ReceiptWords
    r: bytes
    vs: bytes
    first_claim: int
    claim_count: int
    first_influence: int
    influence_count: int
    remainder_entry: int
    covered: int
    score_total: int
    query: bytes

    def words(self) -> bytes:
        """Solidity's abi.encode of the struct."""
        return b"".join(word(value) for value in self._values())

    def packed(self) -> bytes:
        """How an opening carries it: each field as wide as its type."""
        return _pack(_ANSWER, self._values())

    def _values(self) -> tuple[int | bytes, ...]:
        return (*self.receipt, *self[1:])


class InfluenceWords(NamedTuple):
    """An influence as it was hashed."""

    answer: int
    example: int
    contributor: int
    entry: int
    score: int
    score_sum: int
    paid: int

    def words(self) -> bytes:
        """Solidity's abi.encode of the struct."""
        return b"".join(word(number) for number in self)

    def packed(self) -> bytes:
        """How an opening carries it: each field as wide as its type."""
        return _pack(_INFLUENCE, self)


def _pack(kinds: Sequence[str], values: Sequence[int | bytes]) -> bytes:
    return b"".join(
        value if isinstance(value, bytes) else uint(value, int(kind.removeprefix("uint")) // 8)
        for kind, value in zip(kinds, values, strict=True)
    )


def _decode(words: bytes, kinds: Sequence[str]) -> list[Any]:
    """Solidity's strict decoding of a static struct."""
    require(len(words) == 32 * len(kinds), f"{len(words)} bytes for {len(kinds)} words")
    values: list[int | bytes] = []
    for number, kind in enumerate(kinds):
        item = words[32 * number : 32 * number + 32]
        if kind == "bytes32":
            values.append(item)
            continue
        bits = 160 if kind == "address" else int(kind.removeprefix("uint"))
        value = int.from_bytes(item, "big")
        require(value < 1 << bits, f"word {number} is no {kind}")
        values.append(item[12:] if kind == "address" else value)
    return values


def decode_claim(words: bytes) -> ClaimWords:
    """Raise `Malformed` where Solidity's ABI decoder reverts."""
    values = _decode(words, _CLAIM)
    who = tuple(Slot(*values[at : at + 5]) for at in range(9, 9 + 5 * HOLDERS_MAX, 5))
    covered, paid = values[-2:]
    (answer, start, length, own_start, own_end, left, right, echo, holders) = values[:9]
    span = (answer, start, length, own_start, own_end, left, right, echo, holders)
    return ClaimWords(*span, who, covered, paid)


def decode_answer(words: bytes) -> AnswerWords:
    """Raise `Malformed` where Solidity's ABI decoder reverts."""
    values = _decode(words, _ANSWER)
    count = len(_RECEIPT)
    return AnswerWords(ReceiptWords(*values[:count]), *values[count:])


def decode_influence(words: bytes) -> InfluenceWords:
    """Raise `Malformed` where Solidity's ABI decoder reverts."""
    return InfluenceWords(*_decode(words, _INFLUENCE))


NO_CLAIM_WORDS = decode_claim(bytes(32 * len(_CLAIM)))
NO_ANSWER_WORDS = decode_answer(bytes(32 * len(_ANSWER)))
NO_INFLUENCE_WORDS = decode_influence(bytes(32 * len(_INFLUENCE)))
