"""Finds what is wrong with somebody else's batch, and builds the one transaction that proves it.

The body of an honest batch follows from its receipts, its queries, the corpus and the feature
sets alone, so a batch whose recomputed body is equal is valid; in any other, something below
convicts it.  Queries are not exact: that they are these answers' is judged by audit.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from attribution.claims import Answered, build_body
from attribution.fraud_influences import influence_frauds, query_frauds
from attribution.fraud_receipts import Redeemed, receipt_frauds
from attribution.fraud_spans import span_frauds
from attribution.fraud_sums import sum_frauds
from attribution.influence.scores import Scored, influences_of_many
from attribution.openings import Case
from attribution.spans import Span, spans_of
from protocol.batch import Body
from protocol.claims import Entry
from protocol.codec import require
from protocol.openings import NO_ANSWER
from protocol.refute import Chain, Refutation


def find_fraud(case: Case, redeemed: Redeemed, earlier: Sequence[Case]) -> Refutation | None:
    """A refutation that convicts the batch, or None.

    `earlier` are the final batches and the pending ones before this, of which only receipts and
    answer trees are used.  Raises `Malformed` for a batch that is wrong in a way that nothing
    here convicts.
    """
    found = find_plain_fraud(case, redeemed, earlier) or next(query_frauds(case), None)
    if found is not None:
        return found
    spans, influences = honest_spans(case), honest_influences(case)
    if same_leaves(honest_body(case, spans, influences), case.body):
        return None
    frauds = chain(span_frauds(case, spans), influence_frauds(case, influences), sum_frauds(case))
    found = next(frauds, None)
    require(found is not None, "a batch that is not the honest one, and nothing convicts it")
    return found


def find_plain_fraud(case: Case, redeemed: Redeemed, earlier: Sequence[Case]) -> Refutation | None:
    """What can be found without the corpora and the feature sets."""
    frauds = chain(receipt_frauds(case, redeemed, earlier), chain_frauds(case))
    return next(frauds, None)


def same_leaves(one: Body, other: Body) -> bool:
    """Whether two bodies give the same trees: entries have places, so their order is nothing."""

    def leaves(body: Body) -> tuple[object, ...]:
        return (body.answers, body.texts, body.queries, body.claims, body.influences, body.totals)

    def entries(body: Body) -> list[tuple[int, Entry]]:
        return sorted(body.entries, key=lambda row: (row[1].contributor, row[0]))

    if leaves(one) != leaves(other):
        return False
    return one.entries == other.entries or entries(one) == entries(other)


def honest_spans(case: Case) -> list[list[Span]]:
    """The spans of each answer."""
    return [
        spans_of(case.corpus(number), text.prompt, text.output, case.parameters)
        for number, text in enumerate(case.body.texts)
    ]


def honest_influences(case: Case) -> list[Sequence[Scored]]:
    """The best examples for each answer, by the query that its batch gives."""
    found: list[Sequence[Scored]] = [()] * len(case.body.queries)
    by_adapter = defaultdict[bytes, list[int]](list)
    for number, query in enumerate(case.body.queries):
        adapter = case.body.answers[number].receipt.adapter
        if query and adapter in case.features:
            by_adapter[adapter].append(number)
    for adapter, numbers in by_adapter.items():
        queries = [case.body.queries[number] for number in numbers]
        down, features = case.down(numbers[0]), case.features[adapter]
        lists = influences_of_many(features, queries, case.parameters, down)
        for number, listed in zip(numbers, lists, strict=True):
            found[number] = listed
    return found


def honest_body(
    case: Case, spans: Sequence[Sequence[Span]], influences: Sequence[Sequence[Scored]]
) -> Body:
    """The one body that these answers and queries may have."""
    body = case.body
    rows = zip(body.answers, body.texts, spans, body.queries, influences, strict=True)
    answered = [
        Answered(answer.receipt, answer.signature, text, tuple(found), query, tuple(listed))
        for answer, text, found, query, listed in rows
    ]
    return build_body(answered, case.digests, case.old_totals, case.parameters)


def chain_frauds(case: Case) -> Iterator[Refutation]:
    """Answers out of order, or claims or influences that belong to no answer or to two."""
    answers, last = case.body.answers, len(case.body.answers) - 1
    if (answers[0].first_claim, answers[0].first_influence) != (0, 0):
        yield Chain(case.batch, case.answer(0), NO_ANSWER)
    ends = [(a.first_claim + a.claim_count, a.first_influence + a.influence_count) for a in answers]
    if ends[last] != (len(case.body.claims), len(case.body.influences)):
        yield Chain(case.batch, case.answer(last), NO_ANSWER)
    for number, (end, other) in enumerate(zip(ends, answers[1:], strict=False)):
        chained = (other.first_claim, other.first_influence) == end
        if not chained or case.digests[number] >= case.digests[number + 1]:
            yield Chain(case.batch, case.answer(number), case.answer(number + 1))
