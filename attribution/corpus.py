"""A version of a Datanet as attribution sees it: shards of text, each with its documents."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from attribution.index import Index
from protocol.codec import require
from protocol.datanet import Document, Shard
from protocol.merkle import DOCUMENT, TEXT, ByteTree, Tree


@dataclass(frozen=True)
class CorpusShard:
    """One shard with everything needed to search it and to open its leaves."""

    text: bytes
    documents: tuple[Document, ...]

    @cached_property
    def index(self) -> Index:
        return Index.build(self.text)

    @cached_property
    def starts(self) -> list[int]:
        return [document.start for document in self.documents]

    @cached_property
    def text_tree(self) -> ByteTree:
        return ByteTree(TEXT, self.text)

    @cached_property
    def document_tree(self) -> Tree:
        return Tree.of(DOCUMENT, [document.encode() for document in self.documents])

    def document_at(self, position: int) -> int:
        """The row of the document that holds byte `position`, which is no separator."""
        return bisect_right(self.starts, position) - 1

    def check(self, shard: Shard) -> None:
        """Raise `Malformed` unless these bytes are what the chain holds."""
        require(self.text_tree.commitment == shard.text, "the text is not the shard's")
        require(len(self.documents) == shard.document_count, "documents missing")
        require(self.document_tree.root == shard.document_root, "the table is not the shard's")


@dataclass(frozen=True)
class Place:
    """A position in the corpus and whose document it stands in."""

    shard: int
    position: int
    document: int
    contributor: int


@dataclass(frozen=True)
class Corpus:
    shards: tuple[CorpusShard, ...]

    def longest(self, needle: bytes) -> int:
        return max((shard.index.longest(needle) for shard in self.shards), default=0)

    def first_place(self, needle: bytes) -> Place | None:
        """Any word start that holds `needle`: the first in global order."""
        for number in range(len(self.shards)):
            positions = self.shards[number].index.positions(needle)
            if len(positions):
                return self.place(number, int(positions[0]))
        return None

    def holders(self, needle: bytes, limit: int) -> list[Place]:
        """The first `limit` distinct contributors that hold `needle`, in global order."""
        found: dict[int, Place] = {}
        for number, shard in enumerate(self.shards):
            for position in shard.index.positions(needle).tolist():
                place = self.place(number, position)
                found.setdefault(place.contributor, place)
                if len(found) == limit:
                    return list(found.values())
        return list(found.values())

    def place(self, shard: int, position: int) -> Place:
        document = self.shards[shard].document_at(position)
        contributor = self.shards[shard].documents[document].contributor
        return Place(shard, position, document, contributor)


def corpus_of(bodies: Sequence[tuple[bytes, Sequence[Document]]]) -> Corpus:
    return Corpus(tuple(CorpusShard(text, tuple(documents)) for text, documents in bodies))
