"""The feature store: one file, the rows and the tree of the protocol, damage told."""

from pathlib import Path

import numpy as np
import pytest

from attribution.influence.store import FeatureSet, write_features
from protocol.errors import Malformed
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow
from protocol.merkle import FEATURE, FEATURE_LEAF, ByteTree, Commitment, Tree, fold, leaf, sha256


def rows(count: int) -> list[FeatureRow]:
    generator = np.random.default_rng(count)
    return [
        FeatureRow(
            number >> 2, number & 3, 7 * number + 1, NO_EXAMPLE if number % 3 else 0,
            bytes([number]) * 32, generator.integers(-127, 128, DIMENSION, np.int8).tobytes(),
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13])
def test_a_file_gives_back_rows_arrays_and_proofs(count: int, tmp_path: Path) -> None:
    written = rows(count)
    path = tmp_path / "features"

    commitment = write_features(path, written)

    features = FeatureSet.open(path, commitment)
    tree = Tree.of(FEATURE, [row.encode() for row in written])
    assert features.root == tree.root
    assert commitment == Commitment(FEATURE, count * FEATURE_LEAF, tree.root)
    assert features.rows == count
    assert features.shards.tolist() == [row.shard for row in written]
    assert features.documents.tolist() == [row.document for row in written]
    assert features.contributors.tolist() == [row.contributor for row in written]
    assert features.duplicate_of.tolist() == [row.duplicate_of for row in written]
    assert b"".join(row.tobytes() for row in features.phi) == b"".join(row.phi for row in written)
    for number, row in enumerate(written):
        assert FeatureRow.decode(features.row(number)) == row
        path_up = features.siblings(number)
        assert path_up == tree.siblings(number)
        assert fold(sha256, leaf(FEATURE, features.row(number)), number, path_up) == tree.root
    assert not (tmp_path / "features.partial").exists()


def test_arrays_are_views_and_lengths_exact(tmp_path: Path) -> None:
    body = b"".join(row.encode() for row in rows(5))
    features = FeatureSet(body)

    assert features.phi.base is not None
    assert features.norms2.tolist() == [
        sum(int(x) ** 2 for x in np.frombuffer(row.phi, np.int8)) for row in rows(5)
    ]


def test_whole_chunks_are_proven_as_on_the_wire() -> None:
    body = b"".join(row.encode() for row in rows(3)) * 100  # 300 rows: two chunks
    features, wire = FeatureSet(body), ByteTree(FEATURE, body)

    for chunk in range(features.commitment.chunks):
        siblings = features.siblings(chunk, height=8)
        assert siblings == wire.chunk_siblings(chunk)
        at = chunk * features.commitment.chunk_bytes
        part = body[at : at + features.commitment.chunk_bytes]
        features.commitment.verify_chunk(chunk, part, siblings)


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "features"
    commitment = write_features(path, rows(4))
    whole = path.read_bytes()

    for damaged in (whole[:-1], whole + b"\0", whole[:FEATURE_LEAF], b"x" + whole[1:], b""):
        path.write_bytes(damaged)
        with pytest.raises(Malformed):
            FeatureSet.open(path, commitment)
    path.unlink()
    with pytest.raises(Malformed):
        FeatureSet.open(path, commitment)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "features"
    commitment = write_features(path, rows(2))

    def failing() -> object:
        yield from rows(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_features(path, failing())  # type: ignore[arg-type]

    assert FeatureSet.open(path, commitment).rows == 2
