"""What can be wrong with a span, against the texts.  Twin of `contracts/src/SpanRefutations.sol`.

Each class has the fields of the Solidity function `function`, in order; `proves`
is its verdict.  It may raise `Malformed` where the function reverts over an opening.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from protocol.batch import Header
from protocol.court import Context, Kind, shard_at
from protocol.datanet import Document, Shard
from protocol.openings import (
    NONE,
    AnswerOpening,
    ClaimOpening,
    DocumentOpening,
)
from protocol.parameters import HOLDERS_MAX
from protocol.refutation import Refutation, open_claim
from protocol.text import SEPARATOR, is_word_start
from protocol.windows import TextOpening, Window
from protocol.words import AnswerWords, ClaimWords, Slot


@dataclass(frozen=True, slots=True)
class Mismatch(Refutation):
    """The corpus does not hold the span where holder `slot` has it, or it is no span at all."""

    KIND: ClassVar[Kind] = Kind.MISMATCH
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteMismatch"

    claim: ClaimOpening
    answer: AnswerOpening
    slot: int
    output: TextOpening
    corpus: TextOpening  # ignored where there is no such place, or no such span

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        if self.slot >= min(claim.holders, HOLDERS_MAX):
            return False
        who = claim.who[self.slot]
        before, span = _output(answer).read_after(claim.start, claim.end, self.output)
        if not _starts_word(before, span) or SEPARATOR in span:
            return True
        shards, end = context.corpus(answer.receipt.adapter), who.position + claim.length
        if who.shard >= len(shards) or end > shards[who.shard].text_size:
            return True
        return not _holds(shards[who.shard], who.position, self.corpus, span)


@dataclass(frozen=True, slots=True)
class Longer(Refutation):
    """A place in the corpus, in a document that is not down, holds one byte more."""

    KIND: ClassVar[Kind] = Kind.LONGER
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteLonger"

    claim: ClaimOpening
    answer: AnswerOpening
    shard: int
    position: int
    document: DocumentOpening  # ignored where no document of the Datanet is down
    output: TextOpening
    corpus: TextOpening

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        if claim.length >= context.parameters.span_max:
            return False
        span = _output(answer).read_after(claim.start, claim.end + 1, self.output)[1]
        shard = shard_at(context.corpus(answer.receipt.adapter), self.shard)
        place = _Place(answer.receipt.adapter, self.shard, self.position, len(span))
        up = place.stands(context, self.document)
        return _held(shard, self.position, self.corpus, span) and up


@dataclass(frozen=True, slots=True)
class Earlier(Refutation):
    """A contributor not listed, or listed by a later place, holds the span before one who is."""

    KIND: ClassVar[Kind] = Kind.EARLIER
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteEarlier"

    claim: ClaimOpening
    answer: AnswerOpening
    shard: int
    position: int
    document: DocumentOpening
    output: TextOpening
    corpus: TextOpening

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        span = _output(answer).read_after(claim.start, claim.end, self.output)[1]
        shard = shard_at(context.corpus(answer.receipt.adapter), self.shard)
        if not _held(shard, self.position, self.corpus, span):
            return False
        row = self.document.opened(shard)
        down = context.is_down(answer.receipt.adapter, self.shard, self.document.index)
        if down or not _contains(row, self.position, claim.length):
            return False
        place = self.shard, self.position
        return _displaces(claim, context.parameters.holders_max, place, row.contributor)


@dataclass(frozen=True, slots=True)
class Gap:
    """A span that has no claim, and a place in the corpus that holds it."""

    start: int
    length: int
    shard: int
    position: int


@dataclass(frozen=True, slots=True)
class Omitted(Refutation):
    """Between two adjacent claims a span begins that reaches beyond the claims before it."""

    KIND: ClassVar[Kind] = Kind.OMITTED
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteOmitted"

    answer: AnswerOpening
    previous: ClaimOpening  # NO_CLAIM where the answer has none before
    next: ClaimOpening  # NO_CLAIM where the answer has none after
    gap: Gap
    document: DocumentOpening  # ignored where no document of the Datanet is down
    output: TextOpening
    corpus: TextOpening

    def proves(self, header: Header, context: Context) -> bool:
        gap, values = self.gap, context.parameters
        if not values.span_min <= gap.length <= values.span_max:
            return False
        answer, end = self.answer.opened(header), gap.start + gap.length
        if not self._between(header, answer, end):
            return False
        before, span = _output(answer).read_after(gap.start, end, self.output)
        if not _starts_word(before, span):
            return False
        shard = shard_at(context.corpus(answer.receipt.adapter), gap.shard)
        place = _Place(answer.receipt.adapter, gap.shard, gap.position, gap.length)
        up = place.stands(context, self.document)
        return _held(shard, gap.position, self.corpus, span) and up

    def _between(self, header: Header, answer: AnswerWords, end: int) -> bool:
        first, last = answer.first_claim, answer.first_claim + answer.claim_count
        place = first  # where a claim for the gap would stand
        if self.previous.index != NONE:
            place = self.previous.index + 1
            if not first < place <= last:
                return False
            claim = self.previous.opened(header)
            if claim.start >= self.gap.start or claim.end >= end:
                return False
        if self.next.index == NONE:
            return place == last
        if self.next.index != place or place >= last:
            return False
        return self.next.opened(header).start > self.gap.start


@dataclass(frozen=True, slots=True)
class Contributor(Refutation):
    """Holder `slot` names a document that does not hold the span, or another's."""

    KIND: ClassVar[Kind] = Kind.CONTRIBUTOR
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteContributor"

    claim: ClaimOpening
    answer: AnswerOpening
    slot: int
    document: DocumentOpening  # ignored where there is no such document

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        if self.slot >= min(claim.holders, HOLDERS_MAX):
            return False
        who = claim.who[self.slot]
        shard = shard_at(context.corpus(answer.receipt.adapter), who.shard)
        if who.document >= shard.document_count:
            return True
        if self.document.index != who.document:
            return False
        row = self.document.opened(shard)
        return not _contains(row, who.position, claim.length) or row.contributor != who.contributor


@dataclass(frozen=True, slots=True)
class TakenDown(Refutation):
    """Holder `slot` names a document that was taken down."""

    KIND: ClassVar[Kind] = Kind.TAKEN_DOWN
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteTakenDown"

    claim: ClaimOpening
    answer: AnswerOpening
    slot: int

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        if self.slot >= min(claim.holders, HOLDERS_MAX):
            return False
        who = claim.who[self.slot]
        return context.is_down(answer.receipt.adapter, who.shard, who.document)


@dataclass(frozen=True, slots=True)
class Echo(Refutation):
    """The prompt holds the span at `place`, unclaimed or claimed later; or not where claimed."""

    KIND: ClassVar[Kind] = Kind.ECHO
    contract: ClassVar[str] = "SpanRefutations"
    function: ClassVar[str] = "refuteEcho"

    claim: ClaimOpening
    answer: AnswerOpening
    place: int
    output: TextOpening
    prompt: TextOpening

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        span = _output(answer).read_after(claim.start, claim.end, self.output)[1]
        prompt = Window(answer.receipt.prompt_root, answer.receipt.prompt_size)
        there = prompt.read(self.place, self.place + claim.length, self.prompt)
        if span == there:
            return not claim.echo or self.place + 1 < claim.echo
        return self.place + 1 == claim.echo


@dataclass(frozen=True, slots=True)
class _Place:
    """Bytes of an adapter's corpus, and whether they stand in a document that is not down."""

    adapter: bytes
    shard: int
    position: int
    length: int

    def stands(self, context: Context, document: DocumentOpening) -> bool:
        if not context.any_down(self.adapter):
            return True
        row = document.opened(shard_at(context.corpus(self.adapter), self.shard))
        down = context.is_down(self.adapter, self.shard, document.index)
        return not down and _contains(row, self.position, self.length)


def _output(answer: AnswerWords) -> Window:
    return Window(answer.receipt.output_root, answer.receipt.output_size)


def _starts_word(before: bytes, span: bytes) -> bool:
    return is_word_start(before + span[:1], len(before))


def _holds(shard: Shard, position: int, corpus: TextOpening, span: bytes) -> bool:
    """Whether `span` begins at a word start of the shard, at `position`."""
    text = Window(shard.text_root, shard.text_size)
    before, there = text.read_after(position, position + len(span), corpus)
    return _starts_word(before, there) and there == span


def _held(shard: Shard, position: int, corpus: TextOpening, span: bytes) -> bool:
    return SEPARATOR not in span and _holds(shard, position, corpus, span)


def _contains(row: Document, position: int, length: int) -> bool:
    return row.start <= position and position + length <= row.end


def _displaces(claim: ClaimWords, most: int, place: tuple[int, int], contributor: int) -> bool:
    """Whether who holds the span at `place` belongs before somebody listed, or among them."""
    listed: Sequence[Slot] = claim.who[: claim.holders]
    for who in listed:
        if who.contributor == contributor:
            return place < (who.shard, who.position)
    return len(listed) < most or place < (listed[-1].shard, listed[-1].position)
