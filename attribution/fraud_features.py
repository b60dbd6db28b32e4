"""Finds what is wrong with somebody else's feature set, and builds the transaction that proves it.

Rows must be the adapter's documents in their order, each with a feature of the one length, and
near duplicates must say so.  That a feature is the document's is not exact: it is audited.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from attribution.corpus import Corpus
from attribution.influence.store import FeatureSet
from protocol.features import NO_EXAMPLE, NORM2_MAX, NORM2_MIN, FeatureRow
from protocol.openings import NO_DOCUMENT, NO_FEATURE, DocumentOpening, FeatureOpening
from protocol.refute_features import (
    FeatureDuplicate,
    FeatureOrder,
    FeatureRefutation,
    FeatureRowWrong,
)

NO_DUPLICATE = -1


def find_features_fraud(
    number: int, features: FeatureSet, corpus: Corpus, duplicate_of: NDArray[np.int32]
) -> FeatureRefutation | None:
    """A refutation that convicts set `number`, or None.

    `corpus` is the adapter's, takedowns or not; `duplicate_of` [rows] is what follows from the
    features: the first earlier row that is near each, or -1.
    """
    found = next(_disorder(number, features, corpus), None)
    found = found or next(_wrong_rows(number, features, corpus), None)
    return found or next(_duplicates(number, features, duplicate_of), None)


def _row(features: FeatureSet, number: int) -> FeatureOpening:
    return FeatureOpening(number, features.row(number), tuple(features.siblings(number)))


def _disorder(number: int, features: FeatureSet, corpus: Corpus) -> Iterator[FeatureRefutation]:
    """Rows that are not the documents one after the other, or fewer or more of them."""
    counts = [len(shard.documents) for shard in corpus.shards]
    shards = np.repeat(np.arange(len(counts)), counts)
    documents = np.concatenate([np.arange(count) for count in counts] or [np.zeros(0, int)])
    same = min(len(shards), features.rows)
    wrong = features.shards[:same] != shards[:same]
    wrong |= features.documents[:same] != documents[:same]
    at = int(np.argmax(wrong)) if wrong.any() else same
    if at < features.rows:
        first = _row(features, at - 1) if at else NO_FEATURE
        yield FeatureOrder(number, first, _row(features, at))
    elif at < len(shards) and features.rows:
        yield FeatureOrder(number, _row(features, at - 1), NO_FEATURE)


def _wrong_rows(number: int, features: FeatureSet, corpus: Corpus) -> Iterator[FeatureRefutation]:
    """Rows in order that name another contributor or text, or whose feature is none."""
    sizes, stated = features.norms2, features.duplicate_of
    loud = (sizes != 0) & ((sizes < NORM2_MIN) | (sizes > NORM2_MAX))
    late = (stated != NO_EXAMPLE) & (stated >= np.arange(features.rows))
    for at in np.flatnonzero(loud | late).tolist():
        yield FeatureRowWrong(number, _row(features, at), NO_DOCUMENT)
    at = 0
    for shard in corpus.shards:
        for row, document in enumerate(shard.documents):
            found = FeatureRow.decode(features.row(at))
            named = document.contributor, document.content_root
            if (found.contributor, found.content_root) != named:
                proof = tuple(shard.document_tree.siblings(row))
                opening = DocumentOpening(row, document.encode(), proof)
                yield FeatureRowWrong(number, _row(features, at), opening)
            at += 1


def _duplicates(
    number: int, features: FeatureSet, duplicate_of: NDArray[np.int32]
) -> Iterator[FeatureRefutation]:
    """Rows that hide which earlier one they are near, or name one that they are not near."""
    stated = np.where(features.duplicate_of == NO_EXAMPLE, NO_DUPLICATE, features.duplicate_of)
    for at in np.flatnonzero(stated != duplicate_of).tolist():
        true, said = int(duplicate_of[at]), int(stated[at])
        hidden = true != NO_DUPLICATE and (said == NO_DUPLICATE or said > true)
        other = true if hidden else said
        yield FeatureDuplicate(number, _row(features, other), _row(features, at))
