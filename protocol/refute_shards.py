"""What can be wrong with a shard.  Twin of `contracts/src/DatanetRegistry.sol`.

Each class has the fields of the Solidity function `function`, in order; `proves` is its verdict.
It may raise `Malformed` where the function reverts over an opening.
"""

from dataclasses import dataclass
from typing import ClassVar

from protocol.codec import require
from protocol.court import ShardContext, ShardKind
from protocol.datanet import Document, Shard
from protocol.errors import Malformed
from protocol.merkle import TEXT, TEXT_LEAF, Commitment
from protocol.openings import NONE, DocumentOpening
from protocol.signature import recover
from protocol.text import SEPARATOR
from protocol.windows import TextOpening, Window, verify_leaf


@dataclass(frozen=True, slots=True)
class ShardRefutation:
    """What every refutation of a pending shard has."""

    KIND: ClassVar[ShardKind]
    contract: ClassVar[str] = "DatanetRegistry"
    function: ClassVar[str]

    datanet: int
    index: int

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class WrongText(ShardRefutation):
    """The shard's text differs from leaf `leaf_index` of what the contributor signed."""

    KIND: ClassVar[ShardKind] = ShardKind.TEXT
    function: ClassVar[str] = "refuteText"

    document: DocumentOpening
    leaf_index: int
    leaf: bytes
    proof: tuple[bytes, ...]
    text: TextOpening

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        row = self.document.opened(shard)
        content = Commitment(TEXT, row.length, row.content_root)
        verify_leaf(content, self.leaf_index, self.leaf, self.proof)
        start = row.start + self.leaf_index * TEXT_LEAF
        return _text(shard).read(start, start + len(self.leaf), self.text) != self.leaf


@dataclass(frozen=True, slots=True)
class NoSeparator(ShardRefutation):
    """No separator before a document."""

    KIND: ClassVar[ShardKind] = ShardKind.TEXT
    function: ClassVar[str] = "refuteSeparator"

    document: DocumentOpening
    text: TextOpening

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        row = self.document.opened(shard)
        if not row.start:
            return False  # that is `Disordered`
        return _text(shard).read(row.start - 1, row.start, self.text)[0] != SEPARATOR


@dataclass(frozen=True, slots=True)
class Disordered(ShardRefutation):
    """The chain of starts and lengths is broken at `first`, or between it and `second`."""

    KIND: ClassVar[ShardKind] = ShardKind.ORDER
    function: ClassVar[str] = "refuteOrder"

    first: DocumentOpening
    second: DocumentOpening  # NO_DOCUMENT to show one alone

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        row = self.first.opened(shard)
        if not row.length or (not self.first.index and row.start != 1):
            return True
        if self.first.index == shard.document_count - 1 and row.end != shard.text_size:
            return True
        if self.second.index == NONE:
            return False
        after = self.second.opened(shard)
        return self.second.index == self.first.index + 1 and after.start != row.end + 1


@dataclass(frozen=True, slots=True)
class Unsigned(ShardRefutation):
    """The contributor has not signed the document; id 0 is the treasury, which signs none."""

    KIND: ClassVar[ShardKind] = ShardKind.UNSIGNED
    function: ClassVar[str] = "refuteUnsigned"

    document: DocumentOpening

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        row = self.document.opened(shard)
        digest = row.contribution(self.datanet).digest(context.registry)
        try:
            signer = recover(digest, row.signature)
        except Malformed:
            return True  # there is no signature
        return not row.contributor or signer != context.signer(row.contributor)


@dataclass(frozen=True, slots=True)
class Duplicate(ShardRefutation):
    """A document repeats an earlier one, of this shard or one before it."""

    KIND: ClassVar[ShardKind] = ShardKind.DUPLICATE
    function: ClassVar[str] = "refuteDuplicate"

    document: DocumentOpening
    earlier_index: int
    earlier: DocumentOpening

    def proves(self, shard: Shard, context: ShardContext) -> bool:
        row = self.document.opened(shard)
        if (self.earlier_index, self.earlier.index) >= (self.index, self.document.index):
            return False
        holder = context.shard(self.earlier_index)
        require(holder is not None, "no such shard")
        before: Document = self.earlier.opened(holder)  # type: ignore[arg-type]
        return (before.content_root, before.length) == (row.content_root, row.length)


REFUTATIONS: tuple[type[ShardRefutation], ...] = (
    *(WrongText, NoSeparator, Disordered, Unsigned, Duplicate),
)


def convicts_shard(refutation: ShardRefutation, shard: Shard, context: ShardContext) -> bool:
    """The contract's verdict: True where it slashes, False where it reverts."""
    try:
        return refutation.proves(shard, context)
    except Malformed:
        return False


def _text(shard: Shard) -> Window:
    return Window(shard.text_root, shard.text_size)
