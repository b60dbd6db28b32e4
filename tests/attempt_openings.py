"""Openings of one batch, chosen by Hypothesis, from which attempts at refuting it are made."""

from hypothesis import strategies as st

from attribution.openings import Case
from protocol.openings import (
    NO_CLAIM,
    NO_DOCUMENT,
    NO_FEATURE,
    NO_INFLUENCE,
    NO_TEXT,
    AnswerOpening,
    ClaimOpening,
    DocumentOpening,
    EntryOpening,
    FeatureOpening,
    InfluenceOpening,
)
from protocol.sumtree import ENTRY_BITS
from protocol.text import word_starts
from protocol.windows import TextOpening, open_text
from tests.courtroom import World


class Drawing:
    """Openings of one batch, chosen by Hypothesis."""

    def __init__(self, draw: st.DrawFn, case: Case, world: World) -> None:
        self.draw, self.case, self.world = draw, case, world
        self.batch, self.body = case.batch, case.body

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, max(low, high)))

    def one_in(self, many: int) -> bool:
        return self.number(0, many - 1) == 0

    def claim(self) -> int:
        return self.number(0, len(self.body.claims) - 1)

    def opened(self, claim: int) -> tuple[int, ClaimOpening, AnswerOpening]:
        """The claim with its own answer, or rarely with another."""
        answer = self.body.claims[claim].answer
        if answer >= len(self.body.answers) or self.one_in(12):
            answer = self.number(0, len(self.body.answers) - 1)
        return self.batch, self.case.claim(claim), self.case.answer(answer)

    def neighbour(self, claim: int, step: int) -> ClaimOpening:
        other = claim + step
        inside = 0 <= other < len(self.body.claims)
        return NO_CLAIM if not inside or self.one_in(6) else self.case.claim(other)

    def output(self, answer: int, start: int, end: int) -> TextOpening:
        size = len(self.body.texts[answer].output)
        return self.case.output(answer, start, min(end, size)) if start < size else NO_TEXT

    def prompt(self, answer: int, start: int, end: int) -> TextOpening:
        size = len(self.body.texts[answer].prompt)
        return self.case.prompt(answer, start, min(end, size)) if start < size else NO_TEXT

    def corpus(self, shard: int, start: int, end: int) -> TextOpening:
        shards = self.world.bodies
        if shard >= len(shards) or start >= len(shards[shard][0]):
            return NO_TEXT
        held = self.world.texts.shards[shard]
        return open_text(held.text_tree, held.text, start, min(end, len(held.text)))

    def place(self, span: bytes) -> tuple[int, int]:
        """A (shard, position): mostly one that holds `span`."""
        places = [
            (shard, at)
            for shard, (text, _) in enumerate(self.world.bodies)
            for at in word_starts(text)
            if text[at : at + len(span)] == span
        ]
        if places and not self.one_in(4):
            return self.draw(st.sampled_from(places))
        shard = self.number(0, len(self.world.bodies) - (not self.one_in(8)))
        return shard, self.number(0, 640)

    def document(self, shard: int, position: int) -> DocumentOpening:
        if shard >= len(self.world.bodies):
            return NO_DOCUMENT
        held = self.world.texts.shards[shard]
        row = max(0, held.document_at(position))
        if self.one_in(6):
            row = self.number(0, len(held.documents) - 1)
        proof = tuple(held.document_tree.siblings(row))
        return DocumentOpening(row, held.documents[row].encode(), proof)

    def entry(self) -> EntryOpening:
        """An entry that is there, or next to one, or anywhere."""
        places = [e.contributor << ENTRY_BITS | n for n, e in self.body.entries]
        if not places or self.one_in(6):
            return self.case.entry(self.number(0, 7) << ENTRY_BITS | self.number(0, 3))
        return self.case.entry(self.draw(st.sampled_from(places)) + self.one_in(4))

    def influence(self, number: int) -> InfluenceOpening:
        """That one, or rarely its neighbour or none."""
        number += self.number(-1, 1) if self.one_in(8) else 0
        inside = 0 <= number < len(self.body.influences)
        return self.case.influence(number) if inside else NO_INFLUENCE

    def answer_of(self, influence: int) -> AnswerOpening:
        """The answer of an influence, or rarely another."""
        answer = self.body.influences[influence].answer
        if answer >= len(self.body.answers) or self.one_in(12):
            answer = self.number(0, len(self.body.answers) - 1)
        return self.case.answer(answer)

    def row(self, number: int) -> FeatureOpening:
        """A row of the feature set, whether or not that is in force."""
        held = self.case.features_of(0)
        if held is None or number >= held.rows:
            return NO_FEATURE
        return FeatureOpening(number, held.row(number), tuple(held.siblings(number)))

    def query(self, answer: int) -> bytes:
        """The query of an answer, or rarely of another."""
        if self.one_in(10):
            answer = self.number(0, len(self.body.queries) - 1)
        return self.body.queries[answer]

    def last_claim(self, answer: int) -> ClaimOpening:
        row = self.body.answers[answer]
        last = row.first_claim + row.claim_count - 1
        there = row.claim_count and last < len(self.body.claims)
        return self.case.claim(last) if there else NO_CLAIM

    def last_influence(self, answer: int) -> InfluenceOpening:
        row = self.body.answers[answer]
        last = row.first_influence + row.influence_count - 1
        there = row.influence_count and last < len(self.body.influences)
        return self.case.influence(last) if there else NO_INFLUENCE
