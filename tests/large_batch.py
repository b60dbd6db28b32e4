"""The largest batch that the chain takes, for what has to bear it."""

from dataclasses import replace
from random import Random

import numpy as np

from attribution.claims import Answered
from attribution.corpus import Corpus, CorpusShard
from attribution.influence.scores import influences_of_many
from attribution.influence.store import FeatureSet
from attribution.openings import Case
from attribution.spans import spans_of
from protocol.batch import Body, Text
from protocol.datanet import Document, assemble
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow
from protocol.merkle import TEXT, byte_root
from protocol.parameters import OPEN, Parameters
from protocol.signature import Domain
from tests.courtroom import ADAPTER, World

RULES = Parameters()
FAMILIES, MEMBERS = 32, 16  # examples that are credited for the same queries
DOCUMENTS = FAMILIES * MEMBERS
WORDS = 300  # of a document
PIECES = 5  # spans of an answer
ESCROW = Domain("OpenLedger Inference", 1, b"\x01" * 20)


class Large:
    """A corpus of half a thousand documents, and as many answers made of them as wanted."""

    def __init__(self, seed: int = 1) -> None:
        self.random = Random(seed)
        words = [
            "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(9999)
        ]
        texts = [" ".join(self.random.choices(words, k=WORDS)).encode() for _ in range(DOCUMENTS)]
        joint, starts = assemble(texts)
        self.texts = texts
        table = tuple(
            Document(start, len(text), 1 + at, 0, byte_root(TEXT, text), bytes(32), bytes(65))
            for at, (start, text) in enumerate(zip(starts, texts, strict=True))
        )
        self.corpus = Corpus((CorpusShard(joint, table),))
        self.world = World(ESCROW, [(joint, table)], parameters=RULES)
        self.bases, self.rows = self._features(table)
        self.features = FeatureSet(b"".join(row.encode() for row in self.rows))

    def _features(self, table: tuple[Document, ...]) -> tuple[list[bytes], list[FeatureRow]]:
        draw = np.random.default_rng(7)
        bases = draw.choice(np.array([-32, 32], np.int8), (FAMILIES, DIMENSION))
        rows = []
        for number, row in enumerate(table):
            phi = bases[number % FAMILIES].copy()
            phi[draw.permutation(DIMENSION)[: DIMENSION // 4]] *= -1
            place = (0, number, row.contributor, NO_EXAMPLE)
            rows.append(FeatureRow(*place, row.content_root, phi.tobytes()))
        return [base.tobytes() for base in bases], rows

    def answered(self, count: int) -> list[Answered]:
        """Attributed answers of PIECES spans and `influences_max` influences each."""
        found, queries = list[Answered](), list[bytes]()
        for number in range(count):
            output = b"; so ".join(self._piece() for _ in range(PIECES))
            text = Text(b"tell me", output)
            receipt = self.world.receipt(text, OPEN, (number + 1) * OPEN)
            spans = tuple(spans_of(self.corpus, text.prompt, output, RULES))
            found.append(Answered(receipt, self.world.signed(receipt), text, spans))
            queries.append(self.bases[number % FAMILIES])
        lists = influences_of_many(self.features, queries, RULES)
        rows = zip(found, queries, lists, strict=True)
        return [replace(one, query=query, influences=tuple(own)) for one, query, own in rows]

    def _piece(self) -> bytes:
        words = self.random.choice(self.texts).split(b" ")
        start = self.random.randrange(len(words) - 12)
        return b" ".join(words[start : start + self.random.randrange(6, 12)])

    def case(self, body: Body) -> Case:
        digests = tuple(answer.receipt.digest(ESCROW) for answer in body.answers)
        tools = {ADAPTER: self.corpus}, {}, RULES, {ADAPTER: self.features}
        return Case(1, body, body.trees(), digests, *tools)
