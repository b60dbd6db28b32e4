"""Shards whose bodies are files: mapped, and compared with what the chain holds of them."""

import mmap
from pathlib import Path
from typing import cast

import numpy as np

from attribution import index_files
from attribution.index_files import Damaged
from attribution.shards import CorpusShard, Table
from attribution.text_tree import SparseTree
from protocol.codec import require
from protocol.datanet import Shard
from protocol.errors import Temporary
from protocol.merkle import Commitment

SAMPLES = 64  # parts of a body, of 64 leaves, that are hashed again each time it is opened


def mapped(shard: Shard, text: Path, table: Path, folder: Path) -> CorpusShard:
    """The shard of these files; nodes of their trees are kept in `folder`.

    `Malformed` if they are not the shard's. A body is hashed whole once; later a sample is, and
    all that is opened of it: see `_tree`.
    """
    data, rows = _map(text), _map(table)
    held = CorpusShard(data, Table(rows))
    held.__dict__["text_tree"] = _tree(shard.text, data, folder)
    held.__dict__["document_tree"] = _tree(shard.table, rows, folder)
    return held


def _map(path: Path) -> bytes:
    """A map slices, indexes and measures like the bytes of the file, and that is all we do."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return b""
            return cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise Temporary(f"{path} cannot be read: {error.strerror}") from None


def _tree(body: Commitment, data: bytes, folder: Path) -> SparseTree:
    """The tree of a body that is `data`; its kept row comes from a file if it leads to the root.

    Then the row is right, whoever wrote the file. That the body still is what the row was made of
    is looked at in a sample: a body is rotten at large or not at all, and a leaf that has rotted
    since opens nothing (the contract would not take it either).
    """
    require(len(data) == body.size, "a body of another size")
    path = folder / f"{body.root.hex()}.{body.kind}.nodes"
    try:
        (row,) = index_files.read(path, body.root)
        require(row.nbytes % 32 == 0 and row.nbytes > 0, "a row of no nodes")
        tree = SparseTree(body.kind, data, row.tobytes())
        groups = np.linspace(0, len(tree.rows[0]) - 1, SAMPLES).astype(int)
        if tree.commitment == body and all(tree.sound(int(group)) for group in set(groups)):
            return tree
    except (Damaged, ValueError):
        pass
    tree = SparseTree(body.kind, data)
    require(tree.commitment == body, "a body that is not the shard's")
    index_files.write(path, body.root, [np.frombuffer(tree.lowest_row, dtype=np.uint8)])
    return tree
