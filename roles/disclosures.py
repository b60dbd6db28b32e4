"""Answers to demands, from what a poster holds: the leaf that is asked for, with its way up."""

from dataclasses import dataclass

from attribution.influence.store import FeatureSet
from attribution.openings import Case
from protocol.codec import require
from protocol.datanet import decode_table
from protocol.demands import (
    CONTENT_TREE,
    OUTPUT_TREE,
    PROMPT_TREE,
    QUERY_TREE,
    AnswerContentDemand,
    AnswerDemand,
    AnswerEntryDemand,
    AnswerQueryDemand,
    AnswerTextDemand,
    AnswerTotalDemand,
)
from protocol.merkle import (
    ANSWER,
    BODY,
    CLAIM,
    DOCUMENT,
    ENTRY,
    FEATURE,
    INFLUENCE,
    LEAF_BYTES,
    TEXT,
    TOTAL,
    ByteTree,
)
from protocol.openings import DocumentOpening

LEAF_BITS = 32  # of the number of a text's leaf, below the number of whose text it is
LEAF_MASK = (1 << LEAF_BITS) - 1

BATCHES, SHARDS, FEATURES = "AttributionOracle", "DatanetRegistry", "FeatureRegistry"

Disclosure = (
    AnswerDemand | AnswerTextDemand | AnswerEntryDemand | AnswerTotalDemand | AnswerQueryDemand
)
ShardDisclosure = AnswerDemand | AnswerContentDemand
Leaf = tuple[bytes, tuple[bytes, ...]]


def disclose(case: Case, tree: int, index: int) -> Disclosure:
    """Open any leaf that the contract lets somebody demand of a batch.

    `Malformed` where it has no such leaf: then these are not the bytes that were posted.
    """
    body, batch = case.body, case.batch
    counts = {
        ANSWER: len(body.answers),
        CLAIM: len(body.claims),
        INFLUENCE: len(body.influences),
        **dict.fromkeys((OUTPUT_TREE, PROMPT_TREE, QUERY_TREE), len(body.answers) << LEAF_BITS),
    }
    require(index < counts.get(tree, index + 1), f"a demand of tree {tree}: the body has not that")
    number = index >> LEAF_BITS
    if tree == ENTRY:
        return AnswerEntryDemand(batch, case.entry(index))
    if tree == TOTAL:
        return AnswerTotalDemand(batch, index, case.new_total(index))
    if tree == QUERY_TREE:
        return AnswerQueryDemand(batch, case.answer(number), body.queries[number])
    if tree in (OUTPUT_TREE, PROMPT_TREE):
        text = body.texts[number]
        leaf = leaf_of(TEXT, text.output if tree == OUTPUT_TREE else text.prompt, index & LEAF_MASK)
        return AnswerTextDemand(batch, tree, index, case.answer(number), *leaf)
    return AnswerDemand(BATCHES, batch, tree, index, *_leaf(case, tree, index))


def _leaf(case: Case, tree: int, index: int) -> Leaf:
    """Of a positional tree of a batch."""
    body, trees = case.body, case.trees
    if tree == BODY:
        return leaf_of(BODY, body.encode(), index)
    if tree == ANSWER:
        return body.answers[index].words(), tuple(trees.answers.siblings(index))
    if tree == CLAIM:
        return body.claims[index].words(), tuple(trees.claims.siblings(index))
    assert tree == INFLUENCE, f"the contract lets nobody demand of tree {tree}"
    return body.influences[index].words(), tuple(trees.influences.siblings(index))


@dataclass(frozen=True, slots=True)
class FeatureBodies:
    """The rows and the basis of a published feature set."""

    id: int
    features: FeatureSet
    basis: bytes


def disclose_features(held: FeatureBodies, tree: int, index: int) -> AnswerDemand:
    """Open any leaf that the contract lets somebody demand of a feature set."""
    if tree == BODY:
        leaf = leaf_of(BODY, held.basis, index)
    else:
        assert tree == FEATURE, f"the contract lets nobody demand of tree {tree}"
        leaf = held.features.row(index), tuple(held.features.siblings(index))
    return AnswerDemand(FEATURES, held.id, tree, index, *leaf)


@dataclass(frozen=True, slots=True)
class ShardBodies:
    """The bytes of a published shard: its text and its document table."""

    publication: int
    text: bytes
    table: bytes


def disclose_shard(held: ShardBodies, tree: int, index: int) -> ShardDisclosure:
    """Open any leaf that the contract lets somebody demand of a shard."""
    if tree == CONTENT_TREE:
        number = index >> LEAF_BITS
        row = decode_table(held.table)[number]
        document = DocumentOpening(number, *leaf_of(DOCUMENT, held.table, number))
        content = held.text[row.start : row.end]
        opened = leaf_of(TEXT, content, index & LEAF_MASK)
        return AnswerContentDemand(held.publication, index, document, *opened)
    assert tree in (TEXT, DOCUMENT), f"the contract lets nobody demand of tree {tree}"
    data = held.text if tree == TEXT else held.table
    return AnswerDemand(SHARDS, held.publication, tree, index, *leaf_of(tree, data, index))


def leaf_of(kind: int, data: bytes, index: int) -> Leaf:
    """A leaf of a byte tree; nothing where the data has no such leaf, as the contract wants it."""
    step = LEAF_BYTES[kind]
    if index * step >= len(data):
        return b"", ()
    tree = ByteTree(kind, data)
    return data[index * step : (index + 1) * step], tuple(tree.siblings(index))
