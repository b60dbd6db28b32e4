"""From receipts, spans and influences to the body of a batch: claims, amounts, entries, totals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from attribution.influence.scores import Scored
from attribution.spans import Span
from protocol.batch import Body, Text
from protocol.claims import (
    INFLUENCE_SLOT,
    REMAINDER,
    TREASURY,
    Answer,
    Claim,
    Entry,
    Holder,
    owned_intervals,
    split,
)
from protocol.influences import Influence, part, pot, query_hash
from protocol.parameters import Parameters
from protocol.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Answered:
    """A paid answer, attributed: what one entry of a batch is made from."""

    receipt: Receipt
    signature: bytes
    text: Text
    spans: tuple[Span, ...]
    query: bytes = b""  # the answer's feature; empty without a feature set in force
    influences: tuple[Scored, ...] = ()  # the best examples, by (score descending, example)


@dataclass(slots=True)
class _Leaves:
    """What is written of a batch so far; entries are numbered by contributor as they come."""

    answers: list[Answer] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    influences: list[Influence] = field(default_factory=list)
    entries: list[tuple[int, Entry]] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)

    def pay(self, entry: Entry) -> int:
        """The number of the new entry; nothing is written for a payment of nothing."""
        if not entry.value:
            return 0
        number = self.counts[entry.contributor]
        self.counts[entry.contributor] += 1
        self.entries.append((number, entry))
        return number


def build_body(
    answered: Sequence[Answered],
    digests: Sequence[bytes],
    old_totals: Mapping[int, int],
    parameters: Parameters,
) -> Body:
    """The one honest body for these answers on top of `old_totals` (wei by contributor).

    `digests` are the receipts' EIP-712 digests; answers are put in their order.
    """
    leaves = _Leaves()
    rows = sorted(zip(digests, answered, strict=True), key=lambda pair: pair[0])
    for _, item in rows:
        _add(leaves, item, parameters)
    totals = Counter(old_totals)
    for _, entry in leaves.entries:
        totals[entry.contributor] += entry.value
    return Body(
        tuple(leaves.answers),
        tuple(item.text for _, item in rows),
        tuple(item.query for _, item in rows),
        tuple(leaves.claims),
        tuple(leaves.influences),
        tuple(leaves.entries),
        tuple(sorted((who, value) for who, value in totals.items() if value)),
    )


def _add(leaves: _Leaves, item: Answered, parameters: Parameters) -> None:
    """One answer with its claims, its influences and what they leave for the treasury."""
    number = len(leaves.answers)
    first_claim, first_influence = len(leaves.claims), len(leaves.influences)
    covered, paid = _add_claims(leaves, item, parameters)
    scores, more = _add_influences(leaves, item, covered, parameters)
    rest = parameters.contributors_share(item.receipt.amount) - paid - more
    place = leaves.pay(Entry(TREASURY, number, REMAINDER, 0, rest))
    answer = Answer(
        item.receipt,
        item.signature,
        first_claim,
        len(leaves.claims) - first_claim,
        first_influence,
        len(leaves.influences) - first_influence,
        place,
        covered,
        scores,
        query_hash(item.query),
    )
    leaves.answers.append(answer)


def _add_claims(leaves: _Leaves, item: Answered, parameters: Parameters) -> tuple[int, int]:
    """Bytes that the spans own and wei that they earn."""
    intervals = owned_intervals([(span.start, span.length) for span in item.spans])
    answer, first = len(leaves.answers), len(leaves.claims)
    covered = paid = 0
    for number, (span, owned) in enumerate(zip(item.spans, intervals, strict=True), first):
        own_start, own_end, left_by, right_by = owned
        who = tuple(
            Holder(place.shard, place.position, place.document, place.contributor)
            for place in span.who
        )
        cuts = (own_start, own_end, first + left_by, first + right_by)
        claim = Claim(answer, span.start, span.length, *cuts, span.echo, who)
        amount = claim.amount(item.receipt, parameters)
        covered, paid = covered + claim.owned, paid + amount
        numbers = [
            leaves.pay(Entry(holder.contributor, answer, number, slot, value))
            for slot, (holder, value) in enumerate(zip(who, split(amount, len(who)), strict=True))
        ]
        who = tuple(replace(h, entry=n) for h, n in zip(who, numbers, strict=True))
        leaves.claims.append(replace(claim, who=who, covered=covered, paid=paid))
    return covered, paid


def _add_influences(
    leaves: _Leaves, item: Answered, covered: int, parameters: Parameters
) -> tuple[int, int]:
    """The sum of the scores and wei that they earn: nothing where no byte is left to pay."""
    if not item.query or covered >= item.receipt.output_size:
        return 0, 0
    answer, scores, paid = len(leaves.answers), 0, 0
    listed = item.influences[: parameters.influences_max]
    whole, total = pot(item.receipt, covered, parameters), sum(one.score for one in listed)
    for number, one in enumerate(listed, len(leaves.influences)):
        amount = part(whole, one.score, total)
        entry = leaves.pay(Entry(one.contributor, answer, number, INFLUENCE_SLOT, amount))
        scores, paid = scores + one.score, paid + amount
        who = (one.example, one.contributor, entry)
        leaves.influences.append(Influence(answer, *who, one.score, scores, paid))
    return scores, paid
