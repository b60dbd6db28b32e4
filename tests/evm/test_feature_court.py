"""The contract's verdict on a feature set is that of its Python twin, on sets honest and not."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attribution.influence.store import FeatureSet
from protocol import calls
from protocol.events import FeaturesSlashed, SeedDrawn
from protocol.features import FeatureRow
from protocol.merkle import FEATURE, byte_root
from protocol.openings import NO_DOCUMENT, NO_FEATURE, DocumentOpening, FeatureOpening
from protocol.refute_features import (
    FeatureDuplicate,
    FeatureOrder,
    FeatureRefutation,
    FeatureRowWrong,
)
from tests.courtroom import ADAPTER, World, feature_rows
from tests.evm.courthouse import CURATOR, VALIDATOR, ZERO, Courthouse
from tests.property.test_feature_fraud import changed, judged

RELAXED = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


class Nursery(Courthouse):
    """The seed of the adapter is drawn; nobody has published features yet."""

    def _worlds(self, world: World) -> list[World]:
        self.send(calls.DrawSeed(ADAPTER), CURATOR)
        self.chain.warp(100)
        assert any(isinstance(e, SeedDrawn) for e in self.send(calls.DrawSeed(ADAPTER), CURATOR))
        self.rows = feature_rows(world.bodies)
        return [world] * 4

    def publish(self, rows: list[FeatureRow]) -> None:
        root = byte_root(FEATURE, b"".join(row.encode() for row in rows))
        self.send(calls.PublishFeatures(ADAPTER, root, len(rows), ZERO, 1), CURATOR)

    def convicts(self, refutation: FeatureRefutation) -> FeaturesSlashed | None:
        """What the contract says; undone afterwards."""
        with self.anchor():
            try:
                events = self.send(refutation, VALIDATOR)
            except Exception as error:
                if type(error).__name__ != "Reverted":
                    raise
                return None
        return next(event for event in events if isinstance(event, FeaturesSlashed))


@pytest.fixture(scope="module")
def court(_deployed: Any) -> Nursery:
    return Nursery(type(_deployed))


def attempts(draw: st.DrawFn, world: World, rows: list[FeatureRow]) -> FeatureRefutation:
    """Any refutation of these rows, of neighbours more often than not."""
    features = FeatureSet(b"".join(row.encode() for row in rows))
    at = draw(st.integers(0, len(rows) - 1))
    other = at + 1 if draw(st.booleans()) else draw(st.integers(0, len(rows) - 1))

    def opened(number: int) -> FeatureOpening:
        if number >= len(rows):
            return NO_FEATURE
        return FeatureOpening(number, features.row(number), tuple(features.siblings(number)))

    kind = draw(st.integers(0, 3))
    if kind == 0:
        return FeatureDuplicate(1, opened(at), opened(other))
    if kind == 1:
        return FeatureOrder(1, opened(at), opened(other))
    if kind == 2:
        return FeatureOrder(1, NO_FEATURE, opened(at))
    row = rows[at]
    if row.shard >= len(world.bodies) or row.document >= len(world.bodies[row.shard][1]):
        return FeatureRowWrong(1, opened(at), NO_DOCUMENT)
    held = world.texts.shards[row.shard]
    proof = tuple(held.document_tree.siblings(row.document))
    encoded = held.documents[row.document].encode()
    return FeatureRowWrong(1, opened(at), DocumentOpening(row.document, encoded, proof))


@RELAXED
@given(st.data())
def test_both_judges_agree(court: Nursery, data: st.DataObject) -> None:
    """What is found in a changed set convicts it, and so does whatever else convicts in Python."""
    rows = changed(data.draw, court.rows) if data.draw(st.integers(0, 3)) else court.rows
    assume(rows)
    fraud, verdict = judged(rows, court.world)
    with court.anchor():
        court.publish(rows)
        tried = [attempts(data.draw, court.world, rows) for _ in range(6)]
        for refutation in [*tried, fraud] if fraud else tried:
            slashed = court.convicts(refutation)
            assert (slashed is not None) == verdict(refutation), refutation
            assert slashed is None or slashed.kind == refutation.KIND


def test_a_set_of_no_rows_cannot_be_published(court: Nursery) -> None:
    """Nothing could be opened against it."""
    with court.anchor(), pytest.raises(Exception, match="OutOfBounds"):
        court.publish([])
