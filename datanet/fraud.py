"""Finds what is wrong with somebody else's shard, and builds the transaction that proves it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocol.datanet import Document
from protocol.errors import Malformed
from protocol.merkle import DOCUMENT, TEXT, ByteTree, Tree
from protocol.openings import NO_DOCUMENT, DocumentOpening
from protocol.refute_shards import (
    Disordered,
    Duplicate,
    NoSeparator,
    ShardRefutation,
    Unsigned,
)
from protocol.signature import Domain, recover
from protocol.text import SEPARATOR
from protocol.windows import open_text

Table = Sequence[Document]


@dataclass(frozen=True)
class Examined:
    """A published shard with its bytes, which its roots were checked against."""

    datanet: int
    index: int
    text: bytes
    documents: Table

    def opening(self, tree: Tree, number: int) -> DocumentOpening:
        return DocumentOpening(
            number, self.documents[number].encode(), tuple(tree.siblings(number))
        )


def find_shard_fraud(
    shard: Examined, earlier: Sequence[Table], registry: Domain, signers: Mapping[int, bytes]
) -> ShardRefutation | None:
    """A refutation of a pending shard, or None.

    `earlier` are the document tables of the shards before it, `signers` the addresses that sign
    for contributor ids.
    """
    tree = Tree.of(DOCUMENT, [row.encode() for row in shard.documents])
    found = next(_disorder(shard, tree), None)
    return found or next(_row_frauds(shard, tree, earlier, registry, signers), None)


def _disorder(shard: Examined, tree: Tree) -> Iterator[ShardRefutation]:
    """Documents that do not follow each other from the first byte to the last."""
    where, rows = (shard.datanet, shard.index), shard.documents
    last = len(rows) - 1
    for number, row in enumerate(rows):
        opened = shard.opening(tree, number)
        wrong = not row.length or (number == 0 and row.start != 1)
        if wrong or (number == last and row.end != len(shard.text)):
            yield Disordered(*where, opened, NO_DOCUMENT)
        elif number < last and rows[number + 1].start != row.end + 1:
            yield Disordered(*where, opened, shard.opening(tree, number + 1))
    text_tree = ByteTree(TEXT, shard.text)
    for number, row in enumerate(rows):
        if shard.text[row.start - 1] != SEPARATOR:
            place = open_text(text_tree, shard.text, row.start - 1, row.start, before=False)
            yield NoSeparator(*where, shard.opening(tree, number), place)


def _row_frauds(
    shard: Examined,
    tree: Tree,
    earlier: Sequence[Table],
    registry: Domain,
    signers: Mapping[int, bytes],
) -> Iterator[ShardRefutation]:
    """Documents that nobody signed, or that stand in the Datanet already."""
    known: dict[tuple[bytes, int], tuple[int, int]] = {}
    for index, table in enumerate([*earlier, shard.documents]):
        for number, row in enumerate(table):
            known.setdefault((row.content_root, row.length), (index, number))
    tables = [*earlier, shard.documents]
    for number, row in enumerate(shard.documents):
        opened = shard.opening(tree, number)
        signer = _signer(row, shard.datanet, registry)
        # Nobody signed and nobody is registered: both are None, and that is no agreement.
        if not row.contributor or signer is None or signer != signers.get(row.contributor):
            yield Unsigned(shard.datanet, shard.index, opened)
        index, first = known[row.content_root, row.length]
        if (index, first) != (len(earlier), number):
            before = Tree.of(DOCUMENT, [other.encode() for other in tables[index]])
            twin = Examined(shard.datanet, index, b"", tables[index]).opening(before, first)
            yield Duplicate(shard.datanet, shard.index, opened, index, twin)


def _signer(row: Document, datanet: int, registry: Domain) -> bytes | None:
    try:
        return recover(row.contribution(datanet).digest(registry), row.signature)
    except Malformed:
        return None
