"""One shard of a corpus: its text, its documents, and the trees that open its leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from attribution.text_tree import SparseTree
from protocol.codec import require
from protocol.datanet import Document, Shard
from protocol.merkle import DOCUMENT, DOCUMENT_LEAF, TEXT, ByteTree

Array = npt.NDArray[Any]
_ROW = np.dtype(
    {
        "names": ["start", "length", "contributor"],
        "formats": [">u8", ">u8", ">u4"],
        "offsets": [0, 8, 16],
        "itemsize": DOCUMENT_LEAF,
    }
)


@dataclass(frozen=True, slots=True)
class Table(Sequence[Document]):
    """The rows of a document table, decoded one by one as they are asked for."""

    data: bytes  # or a memory map

    def __post_init__(self) -> None:
        require(len(self.data) % DOCUMENT_LEAF == 0, "a document table of broken rows")

    def __len__(self) -> int:
        return len(self.data) // DOCUMENT_LEAF

    @overload
    def __getitem__(self, row: int) -> Document: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Document, ...]: ...
    def __getitem__(self, row: int | slice) -> Document | tuple[Document, ...]:
        if isinstance(row, slice):
            return tuple(self[each] for each in range(*row.indices(len(self))))
        at = range(0, len(self.data), DOCUMENT_LEAF)[row]
        return Document.decode(self.data[at : at + DOCUMENT_LEAF])


@dataclass(frozen=True, slots=True)
class Documents:
    """Where the documents of a shard stand and whose they are, by row."""

    starts: Array  # int64 [d]
    ends: Array  # int64 [d]
    contributors: Array  # int64 [d]

    @classmethod
    def read(cls, table: bytes, size: int) -> Self:
        """From the rows as they are on the wire (`Document.encode`)."""
        rows = np.frombuffer(table, dtype=_ROW)
        starts, lengths = (rows[name].astype(np.uint64) for name in ("start", "length"))
        most = np.uint64(size)
        starts = np.minimum(starts, most)
        ends = starts + np.minimum(lengths, most - starts)
        whose = rows["contributor"].astype(np.int64)
        return cls(starts.astype(np.int64), ends.astype(np.int64), whose)

    @classmethod
    def of(cls, documents: Sequence[Document], size: int) -> Self:
        """Positions are cut to the `size` of the text: a table may claim any 64 bits."""
        if isinstance(documents, Table):
            return cls.read(documents.data, size)
        starts = np.array([min(row.start, size) for row in documents], dtype=np.int64)
        ends = np.array([min(row.end, size) for row in documents], dtype=np.int64)
        whose = np.array([row.contributor for row in documents], dtype=np.int64)
        return cls(starts, ends, whose)


@dataclass(frozen=True)
class CorpusShard:
    """One shard with everything needed to search it and to open its leaves.

    `text` may be a memory map, which slices like bytes. Of documents that are `down` (row numbers)
    no word start counts; their bytes stay where they are.
    """

    text: bytes
    documents: Sequence[Document]
    down: frozenset[int] = frozenset()

    @cached_property
    def columns(self) -> Documents:
        return Documents.of(self.documents, len(self.text))

    @cached_property
    def text_tree(self) -> ByteTree:
        return SparseTree(TEXT, self.text)

    @cached_property
    def document_tree(self) -> ByteTree:
        if isinstance(self.documents, Table):
            return SparseTree(DOCUMENT, self.documents.data)
        return SparseTree(DOCUMENT, b"".join(document.encode() for document in self.documents))

    def document_at(self, position: int) -> int:
        """The row of the document that holds byte `position`, which is no separator."""
        return int(np.searchsorted(self.columns.starts, position, side="right")) - 1

    def without(self, down: frozenset[int]) -> "CorpusShard":
        """The same shard with these documents down; what was computed of it is kept."""
        if down == self.down:
            return self
        other = CorpusShard(self.text, self.documents, down)
        other.__dict__.update(self.__dict__ | {"down": down})
        return other

    def check(self, shard: Shard) -> None:
        """Raise `Malformed` unless these bytes are what the chain holds."""
        require(self.text_tree.commitment == shard.text, "the text is not the shard's")
        require(len(self.documents) == shard.document_count, "documents missing")
        require(self.document_tree.root == shard.document_root, "the table is not the shard's")
