"""The small world under trees as deep as they can be: what a refutation then costs is the most.

Every tree is the small one with filler beside it, all the way up: indices stay, proofs grow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from protocol.batch import BODY_CLAIMS_MAX, BODY_INFLUENCES_MAX, Header
from protocol.claims import ANSWERS_MAX
from protocol.datanet import Document, Shard, shard_of
from protocol.merkle import (
    ANSWER,
    CLAIM,
    DOCUMENT,
    FEATURE,
    FEATURE_LEAF,
    HASH,
    INFLUENCE,
    TEXT,
    TEXT_LEAF,
    Commitment,
    depth_of,
)
from protocol.openings import (
    NONE,
    AnswerOpening,
    ClaimOpening,
    DocumentOpening,
    FeatureOpening,
    InfluenceOpening,
)
from protocol.refute import Refutation
from protocol.signature import Domain
from protocol.text import SEPARATOR
from tests.courtroom import FeaturesOf, World, shards
from tests.evm.courthouse import Courthouse

SHARD_BYTES = 1 << 30
DOCUMENTS = 1 << 17  # of a shard: 8 KiB each
EXAMPLES = 1 << 18  # of an adapter
FILLER = b"\xf1" * 32
COUNTS = {  # leaves of the deep trees
    ANSWER: ANSWERS_MAX,
    CLAIM: BODY_CLAIMS_MAX,
    INFLUENCE: BODY_INFLUENCES_MAX,
    DOCUMENT: DOCUMENTS,
    FEATURE: EXAMPLES,
    TEXT: SHARD_BYTES // TEXT_LEAF,
}
KINDS = {
    AnswerOpening: ANSWER,
    ClaimOpening: CLAIM,
    InfluenceOpening: INFLUENCE,
    DocumentOpening: DOCUMENT,
    FeatureOpening: FEATURE,
}


def deep_root(kind: int, root: bytes, count: int) -> bytes:
    for _ in range(depth_of(COUNTS[kind]) - depth_of(count)):
        root = HASH[kind](b"\x01" + root + FILLER)
    return root


def deep_shard(shard: Shard) -> Shard:
    text = deep_root(TEXT, shard.text_root, -(-shard.text_size // TEXT_LEAF))
    table = deep_root(DOCUMENT, shard.document_root, shard.document_count)
    return Shard(text, table, SHARD_BYTES, DOCUMENTS)


def deep_header(header: Header) -> Header:
    return replace(
        header,
        answers_root=deep_root(ANSWER, header.answers_root, header.answer_count),
        claims_root=deep_root(CLAIM, header.claims_root, header.claim_count),
        influences_root=deep_root(INFLUENCE, header.influences_root, header.influence_count),
        answer_count=ANSWERS_MAX,
        claim_count=BODY_CLAIMS_MAX,
        influence_count=BODY_INFLUENCES_MAX,
    )


class DeepWorld(World):
    """The judge's facts are those of the deep trees."""

    @cached_property
    def shards(self) -> list[Shard]:
        return [deep_shard(shard_of(text, table)) for text, table in self.bodies]

    def features(self, adapter: bytes) -> FeaturesOf | None:
        found = super().features(adapter)
        return found and FeaturesOf(deep_features(found.features), EXAMPLES)

    def earlier_header(self, batch: int) -> Header | None:
        found = super().earlier_header(batch)
        return found and deep_header(found)


def deep_features(rows: Commitment) -> Commitment:
    return Commitment(FEATURE, EXAMPLES * FEATURE_LEAF, deep_root(FEATURE, rows.root, rows.count))


class DeepCourthouse(Courthouse):
    """Everything is committed by deep trees; `deepened` refutations are the ones that open them."""

    def texts(self, registry: Domain) -> list[tuple[bytes, tuple[Document, ...]]]:
        """All leaves of a text are whole, as they are in the midst of a greater one."""
        found = shards(registry)
        filler = bytes([SEPARATOR])
        return [(text + filler * (-len(text) % TEXT_LEAF), table) for text, table in found]

    def shard(self, text: bytes, table: Sequence[Document]) -> Shard:
        return deep_shard(shard_of(text, table))

    def opened(self, document: DocumentOpening) -> DocumentOpening:
        return replace(document, proof=(*document.proof, *_filler(DOCUMENT, document.proof)))

    def features(self, rows: Commitment) -> Commitment:
        return deep_features(rows)

    def committed(self, header: Header) -> Header:
        return deep_header(header)

    def deepened(self, refutation: Refutation) -> Refutation:
        changes: dict[str, Any] = {}
        for field in fields(refutation):
            opening = getattr(refutation, field.name)
            kind = KINDS.get(type(opening))
            if field.name == "corpus" and opening.leaves:
                more = depth_of(COUNTS[TEXT]) - self._height(refutation)
                changes[field.name] = replace(opening, proof=(*opening.proof, *[FILLER] * more))
            elif kind and opening.index != NONE:
                more_proof = (*opening.proof, *_filler(kind, opening.proof))
                changes[field.name] = replace(opening, proof=more_proof)
        return replace(refutation, **changes)

    def _height(self, refutation: Any) -> int:
        """Of the small tree of the text that a refutation opens."""
        shard = getattr(refutation, "shard", None)
        if hasattr(refutation, "gap"):
            shard = refutation.gap.shard
        if shard is None:
            shard = refutation.claim.claim.who[refutation.slot].shard
        return depth_of(-(-len(self.world.bodies[shard][0]) // TEXT_LEAF))


def _filler(kind: int, proof: Iterable[bytes]) -> list[bytes]:
    return [FILLER] * (depth_of(COUNTS[kind]) - len(list(proof)))
