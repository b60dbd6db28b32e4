"""Finds what is wrong with somebody else's batch, and builds the one transaction that proves it.

The body of an honest batch follows from its receipts and the corpus alone, so a batch whose
recomputed body is equal is valid; in any other, something below convicts it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise

from attribution.claims import Answered, build_body
from attribution.fraud_spans import span_frauds
from attribution.fraud_sums import sum_frauds
from attribution.openings import Case
from attribution.spans import Span, spans_of
from protocol.batch import Body
from protocol.codec import require
from protocol.errors import Malformed
from protocol.openings import NO_ANSWER
from protocol.receipt import overlaps
from protocol.refute import Chain, Forged, Refutation, Repeated, Unfunded
from protocol.signature import recover

Redeemed = Mapping[tuple[bytes, bytes, bytes], int]  # (payer, host, adapter) -> wei


def find_fraud(case: Case, redeemed: Redeemed, final: Sequence[Case]) -> Refutation | None:
    """A refutation that convicts the batch, or None.

    `final` are earlier final batches, of which only receipts and answer trees are used.  Raises
    `Malformed` for a batch that is wrong in a way that nothing here convicts.
    """
    found = next(receipt_frauds(case, redeemed, final), None) or next(chain_frauds(case), None)
    if found is not None:
        return found
    spans = honest_spans(case)
    if same_leaves(honest_body(case, spans), case.body):
        return None
    found = next(span_frauds(case, spans), None) or next(sum_frauds(case), None)
    require(found is not None, "a batch that is not the honest one, and nothing convicts it")
    return found


def find_plain_fraud(case: Case, redeemed: Redeemed, final: Sequence[Case]) -> Refutation | None:
    """What can be found without the corpora."""
    frauds = chain(receipt_frauds(case, redeemed, final), chain_frauds(case))
    return next(frauds, None)


def same_leaves(one: Body, other: Body) -> bool:
    """Whether two bodies give the same trees: entries have places, so their order is nothing."""

    def leaves(body: Body) -> tuple[object, ...]:
        entries = sorted(body.entries, key=lambda row: (row[1].contributor, row[0]))
        return (body.answers, body.texts, body.claims, entries, body.totals)

    return leaves(one) == leaves(other)


def honest_spans(case: Case) -> list[list[Span]]:
    """The spans of each answer."""
    return [
        spans_of(case.corpus(number), text.prompt, text.output, case.parameters)
        for number, text in enumerate(case.body.texts)
    ]


def honest_body(case: Case, spans: Sequence[Sequence[Span]]) -> Body:
    """The one body that these answers may have."""
    rows = zip(case.body.answers, case.body.texts, spans, strict=True)
    answered = [
        Answered(answer.receipt, answer.signature, text, tuple(found))
        for answer, text, found in rows
    ]
    return build_body(answered, case.digests, case.old_totals, case.parameters)


def receipt_frauds(case: Case, redeemed: Redeemed, final: Sequence[Case]) -> Iterator[Refutation]:
    """Receipts that their host did not sign, that nobody paid, or that were attributed before."""
    for number, answer in enumerate(case.body.answers):
        receipt = answer.receipt
        if _signer(case.digests[number], answer.signature) != receipt.host:
            yield Forged(case.batch, case.answer(number))
        paid = redeemed.get((receipt.payer, receipt.host, receipt.adapter), 0)
        if not receipt.amount or paid < receipt.cumulative:
            yield Unfunded(case.batch, case.answer(number))
        for other in (*final, case):
            for place, twin in enumerate(other.body.answers):
                if (other is not case or place < number) and overlaps(receipt, twin.receipt):
                    opening = other.answer(place)
                    yield Repeated(case.batch, case.answer(number), other.batch, opening)


def _signer(digest: bytes, signature: bytes) -> bytes | None:
    try:
        return recover(digest, signature)
    except Malformed:
        return None


def chain_frauds(case: Case) -> Iterator[Refutation]:
    """Answers out of order, or claims that belong to no answer or to two."""
    answers, ends = case.body.answers, (0, len(case.body.answers) - 1)
    if answers[0].first_claim != 0:
        yield Chain(case.batch, case.answer(0), NO_ANSWER)
    if answers[-1].first_claim + answers[-1].claim_count != len(case.body.claims):
        yield Chain(case.batch, case.answer(ends[1]), NO_ANSWER)
    for number, (one, other) in enumerate(pairwise(answers)):
        chained = other.first_claim == one.first_claim + one.claim_count
        if not chained or case.digests[number] >= case.digests[number + 1]:
            yield Chain(case.batch, case.answer(number), case.answer(number + 1))
