"""Answers to demands, from what a poster holds: the leaf that is asked for, with its way up."""

from dataclasses import dataclass

from attribution.openings import Case
from protocol.codec import require
from protocol.datanet import decode_table
from protocol.demands import (
    CONTENT_TREE,
    OUTPUT_TREE,
    PROMPT_TREE,
    AnswerContentDemand,
    AnswerDemand,
    AnswerEntryDemand,
    AnswerTextDemand,
    AnswerTotalDemand,
)
from protocol.merkle import (
    ANSWER,
    BODY,
    CLAIM,
    DOCUMENT,
    ENTRY,
    LEAF_BYTES,
    TEXT,
    TOTAL,
    ByteTree,
)
from protocol.openings import DocumentOpening

LEAF_BITS = 32  # of the number of a text's leaf, below the number of whose text it is
LEAF_MASK = (1 << LEAF_BITS) - 1

BATCHES, SHARDS = "AttributionOracle", "DatanetRegistry"

Disclosure = AnswerDemand | AnswerTextDemand | AnswerEntryDemand | AnswerTotalDemand
ShardDisclosure = AnswerDemand | AnswerContentDemand
Leaf = tuple[bytes, tuple[bytes, ...]]


def disclose(case: Case, tree: int, index: int) -> Disclosure:
    """Open any leaf that the contract lets somebody demand of a batch.

    `Malformed` where it has no such leaf: then these are not the bytes that were posted.
    """
    body, batch = case.body, case.batch
    if tree in (ANSWER, OUTPUT_TREE, PROMPT_TREE):
        number = index if tree == ANSWER else index >> LEAF_BITS
        require(number < len(body.answers), "a demand of an answer that the body has not")
    require(tree != CLAIM or index < len(body.claims), "a demand of a claim that the body has not")
    if tree == ENTRY:
        return AnswerEntryDemand(batch, case.entry(index))
    if tree == TOTAL:
        return AnswerTotalDemand(batch, index, case.new_total(index))
    if tree in (OUTPUT_TREE, PROMPT_TREE):
        text = body.texts[index >> LEAF_BITS]
        leaf = leaf_of(TEXT, text.output if tree == OUTPUT_TREE else text.prompt, index & LEAF_MASK)
        return AnswerTextDemand(batch, tree, index, case.answer(index >> LEAF_BITS), *leaf)
    if tree == BODY:
        opened = leaf_of(BODY, body.encode(), index)
    elif tree == ANSWER:
        opened = body.answers[index].words(), tuple(case.trees.answers.siblings(index))
    else:
        assert tree == CLAIM, f"the contract lets nobody demand of tree {tree}"
        opened = body.claims[index].words(), tuple(case.trees.claims.siblings(index))
    return AnswerDemand(BATCHES, batch, tree, index, *opened)


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
