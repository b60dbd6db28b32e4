"""The contract convicts what is changed in a feature set, and agrees with Python on openings."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, cast

import pytest
from eth_abi.exceptions import EncodingError

from attribution.fraud_features import find_features_fraud
from attribution.influence.duplicates import duplicates_of
from attribution.influence.store import FeatureSet
from protocol import calls
from protocol.attribution_events import FeaturesSlashed, SeedDrawn
from protocol.errors import Malformed
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow
from protocol.openings import NO_DOCUMENT, NO_FEATURE, DocumentOpening, FeatureOpening
from protocol.parameters import OPEN
from protocol.refute_features import (
    FeatureDuplicate,
    FeatureOrder,
    FeatureRefutation,
    FeatureRowWrong,
    convicts_features,
)
from tests.courtroom import BASE, RULES, FeaturesOf, World, feature_rows
from tests.evm.courthouse import CURATOR, PROVER, VALIDATOR, ZERO, Courthouse
from tests.mutated_openings import mutated

OTHER = b"\xfe" * 32  # an adapter of the same corpus that has no features yet
CASES, MANY = 16, 600
TWISTED = 4  # changed openings tried of each refutation


@dataclass(frozen=True)
class Judge:
    """A `protocol.refute_features.FeatureContext`."""

    world: World
    parameters: Any = RULES

    @property
    def shards(self) -> Any:
        return self.world.shards


class Registry:
    """A courthouse where one may publish sets of `OTHER`; every set is number 2, then undone."""

    def __init__(self, kind: Any) -> None:
        self.court = court = Courthouse(kind)
        name = (ZERO, 1, ZERO, ZERO, 5000, "other")
        court.send(calls.RegisterAdapter(OTHER, BASE, 1, 2, *name, value=OPEN), CURATOR)
        court.send(calls.DrawSeed(OTHER), CURATOR)
        court.chain.warp(100)
        drawn = court.send(calls.DrawSeed(OTHER), CURATOR)
        assert any(isinstance(event, SeedDrawn) for event in drawn)
        self.judge = Judge(court.world)
        self.rows = feature_rows(court.world.bodies)

    def published(self, rows: list[FeatureRow]) -> FeatureSet:
        features = FeatureSet(b"".join(row.encode() for row in rows))
        root, count = features.commitment.root, features.rows
        self.court.send(calls.PublishFeatures(OTHER, root, count, ZERO, 1), PROVER)
        return features

    def agree(self, refutation: FeatureRefutation, features: FeatureSet) -> bool:
        """What both judges say."""
        subject = FeaturesOf(features.commitment, features.rows)
        expected = convicts_features(refutation, subject, self.judge)
        slashed = None
        with self.court.anchor():
            try:
                events = self.court.send(refutation, VALIDATOR)
                slashed = next(e for e in events if isinstance(e, FeaturesSlashed))
            except Exception as error:
                if type(error).__name__ != "Reverted":
                    raise
        assert (slashed is not None) == expected, refutation
        assert slashed is None or slashed.kind == refutation.KIND
        return expected


@pytest.fixture(scope="module")
def registry(_deployed: Any) -> Registry:
    return Registry(type(_deployed))


def changed(rng: Random, rows: list[FeatureRow]) -> list[FeatureRow]:
    """A field changed, a text, coordinates, a feature for another, a row missing or doubled."""
    at, other, kind = rng.randrange(len(rows)), rng.randrange(len(rows)), rng.randrange(6)
    rows, row = list(rows), rows[at]
    if kind == 0:
        name = rng.choice(["shard", "document", "contributor", "duplicate_of"])
        number = rng.choice([*range(8), NO_EXAMPLE, NO_EXAMPLE - 1])
        rows[at] = replace(row, **{name: number})
    elif kind == 1:
        rows[at] = replace(row, content_root=rng.randbytes(32))
    elif kind == 2:
        count = rng.randrange(1, DIMENSION)
        rows[at] = replace(row, phi=bytes([rng.choice([0, 1, 127, 128])]) * count + row.phi[count:])
    elif kind == 3:
        rows[at] = replace(row, phi=rows[other].phi)
    elif kind == 4:
        rows.pop(at)
    else:
        rows.insert(other, row)
    return rows


def shown(features: FeatureSet, row: int) -> FeatureOpening:
    return FeatureOpening(row, features.row(row), tuple(features.siblings(row)))


def documents(registry: Registry) -> Iterator[DocumentOpening]:
    yield NO_DOCUMENT
    for shard in registry.court.world.texts.shards:
        for number, document in enumerate(shard.documents):
            proof = tuple(shard.document_tree.siblings(number))
            yield DocumentOpening(number, document.encode(), proof)


def judged(registry: Registry, seed: int, count: int) -> Counter[str]:
    rng, said = Random(seed), Counter[str]()
    for _ in range(count):
        rows = changed(rng, registry.rows)
        with registry.court.anchor():
            features = registry.published(rows)
            near = duplicates_of(features.phi, RULES.duplicate_bps)
            found = find_features_fraud(2, features, registry.court.world.texts, near)
            if found is None:  # of the right length, and its duplicates are said rightly
                said["honest"] += 1
                continue
            assert registry.agree(found, features)
            said[type(found).__name__] += 1
            for _ in range(TWISTED):
                other: Any = mutated(rng, cast(Any, found))
                twisted = replace(other, id=found.id)
                if encodable(registry, twisted):
                    said[f"twisted {registry.agree(twisted, features)}"] += 1
    return said


def encodable(registry: Registry, refutation: FeatureRefutation) -> bool:
    try:
        registry.court.chain.bindings.encode(refutation)
    except (Malformed, EncodingError):
        return False
    return True


def test_whatever_is_changed_is_convicted(registry: Registry) -> None:
    said = judged(registry, 1, CASES)

    assert {"FeatureRowWrong", "FeatureOrder", "FeatureDuplicate"} <= said.keys(), said


@pytest.mark.slow
def test_many_changes_are_convicted(registry: Registry) -> None:
    said = judged(registry, 2, MANY)

    assert said["twisted False"] > MANY, said


def test_an_honest_set_stands(registry: Registry) -> None:
    with registry.court.anchor():
        features = registry.published(registry.rows)
        rows = [shown(features, row) for row in range(features.rows)]
        for document in documents(registry):
            for row in rows:
                assert not registry.agree(FeatureRowWrong(2, row, document), features)
        for one in (NO_FEATURE, *rows):
            for two in (NO_FEATURE, *rows):
                assert not registry.agree(FeatureOrder(2, one, two), features)
                assert not registry.agree(FeatureDuplicate(2, one, two), features)
