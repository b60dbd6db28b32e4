"""A feature set of honest rows is never convicted; whatever is changed in one convicts it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attribution.fraud_features import NO_DUPLICATE, find_features_fraud
from attribution.influence.store import FeatureSet
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow, dot, near, norm2
from protocol.openings import NO_DOCUMENT, NO_FEATURE, DocumentOpening, FeatureOpening
from protocol.refute_features import (
    FeatureDuplicate,
    FeatureOrder,
    FeatureRefutation,
    FeatureRowWrong,
    convicts_features,
)
from tests.courtroom import RULES, FeaturesOf, World
from tests.property.test_refute import BEFORE

CORPUS, ROWS = BEFORE.texts, list(BEFORE.rows)
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


@dataclass(frozen=True)
class Judge:
    """A `protocol.refute_features.FeatureContext`."""

    world: World = BEFORE
    parameters: Any = RULES

    @property
    def shards(self) -> Any:
        return self.world.shards


def plain_duplicates(features: FeatureSet) -> NDArray[np.int32]:
    """The first earlier row that each is near, by the definition."""
    rows = [FeatureRow.decode(features.row(number)) for number in range(features.rows)]
    sizes = [norm2(row.phi) for row in rows]
    found = []
    for j, row in enumerate(rows):
        pairs = (i for i in range(j) if near(dot(rows[i].phi, row.phi), sizes[i], sizes[j], RULES))
        found.append(next(pairs, NO_DUPLICATE))
    return np.array(found, np.int32)


def judged(
    rows: list[FeatureRow], world: World = BEFORE
) -> tuple[FeatureRefutation | None, Callable[[Any], bool]]:
    """What is found, and the judge's verdict on any refutation."""
    features = FeatureSet(b"".join(row.encode() for row in rows))
    subject = FeaturesOf(features.commitment, len(rows))
    fraud = find_features_fraud(1, features, world.texts, plain_duplicates(features))
    return fraud, lambda one: convicts_features(one, subject, Judge(world))


def changed(draw: st.DrawFn, rows: list[FeatureRow]) -> list[FeatureRow]:
    """A field changed, a coordinate, a feature for another, a row missing, doubled or moved."""
    at, other = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(rows) - 1))
    rows, row, kind = list(rows), rows[at], draw(st.integers(0, 5))
    if kind == 0:
        name = draw(st.sampled_from(["shard", "document", "contributor", "duplicate_of"]))
        numbers = st.integers(0, 8) | st.sampled_from([NO_EXAMPLE, NO_EXAMPLE - 1])
        rows[at] = replace(row, **{name: draw(numbers)})
    elif kind == 1:
        bits = bytearray(row.content_root)
        bits[draw(st.integers(0, 31))] ^= 1
        rows[at] = replace(row, content_root=bytes(bits))
    elif kind == 2:
        louder = draw(st.sampled_from([0, 1, 127, 128, 255]))
        count = draw(st.integers(1, DIMENSION))
        rows[at] = replace(row, phi=bytes([louder]) * count + row.phi[count:])
    elif kind == 3:
        rows[at] = replace(row, phi=rows[other].phi)
    elif kind == 4:
        rows.pop(at)
    else:
        rows.insert(other, rows.pop(at) if draw(st.booleans()) else row)
    return rows


def test_the_honest_set_is_not_convicted() -> None:
    fraud, verdict = judged(ROWS)

    assert fraud is None
    features = FeatureSet(b"".join(row.encode() for row in ROWS))
    openings = [
        FeatureOpening(n, features.row(n), tuple(features.siblings(n))) for n in range(len(ROWS))
    ]
    for one in openings:
        row = FeatureRow.decode(one.row)
        held = CORPUS.shards[row.shard]
        proof = tuple(held.document_tree.siblings(row.document))
        document = held.documents[row.document].encode()
        assert not verdict(FeatureRowWrong(1, one, DocumentOpening(row.document, document, proof)))
        assert not verdict(FeatureRowWrong(1, one, NO_DOCUMENT))
        assert not verdict(FeatureOrder(1, one, NO_FEATURE))
        assert not verdict(FeatureOrder(1, NO_FEATURE, one))
        for other in openings:
            assert not verdict(FeatureOrder(1, one, other))
            assert not verdict(FeatureDuplicate(1, one, other))


def test_the_set_has_the_edges() -> None:
    """A chain of duplicates whose ends are none of each other, and an example of nothing."""
    assert [row.duplicate_of for row in ROWS] == [*[NO_EXAMPLE] * 4, 0, NO_EXAMPLE, 4]
    assert norm2(ROWS[5].phi) == 0


@RELAXED
@given(st.data())
def test_every_change_is_convicted(data: st.DataObject) -> None:
    rows = changed(data.draw, ROWS)
    assume(rows and rows != ROWS)
    fraud, verdict = judged(rows)
    if fraud is None:  # another feature, of the right length, whose duplicates are said rightly
        only = [replace(row, phi=b"\0" * DIMENSION) for row in rows]
        stated = [replace(row, phi=b"\0" * DIMENSION) for row in ROWS]
        assert only == stated
        return
    assert verdict(fraud), fraud


def test_rows_beyond_the_documents_are_convicted() -> None:
    """Also where each of them looks like one of a next shard."""
    for extra in range(1, 3):
        more = [replace(ROWS[0], shard=2, document=n) for n in range(extra)]
        fraud, verdict = judged([*ROWS, *more])
        assert fraud is not None
        assert verdict(fraud)
