"""From receipts and spans to the body of a batch: claims, amounts, entries, totals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from attribution.spans import Span
from protocol.batch import Body, Text
from protocol.claims import (
    REMAINDER,
    TREASURY,
    Answer,
    Claim,
    Entry,
    Holder,
    owned_intervals,
    split,
)
from protocol.parameters import Parameters
from protocol.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Answered:
    """A paid answer, attributed: what one entry of a batch is made from."""

    receipt: Receipt
    signature: bytes
    text: Text
    spans: tuple[Span, ...]


class _Entries:
    """Numbers the payments of each contributor in the order of (answer, claim, slot)."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.rows: list[tuple[int, Entry]] = []

    def add(self, entry: Entry) -> int:
        """The number of the new entry; nothing is written for a payment of nothing."""
        if not entry.value:
            return 0
        number = self._counts[entry.contributor]
        self._counts[entry.contributor] += 1
        self.rows.append((number, entry))
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
    entries, answers, claims, texts = _Entries(), list[Answer](), list[Claim](), list[Text]()
    for _, item in sorted(zip(digests, answered, strict=True), key=lambda pair: pair[0]):
        first, number = len(claims), len(answers)
        claims += _claims_of(item, number, first, entries, parameters)
        paid = claims[-1].paid if len(claims) > first else 0
        rest = parameters.contributors_share(item.receipt.amount) - paid
        place = entries.add(Entry(TREASURY, number, REMAINDER, 0, rest))
        answers.append(Answer(item.receipt, item.signature, first, len(claims) - first, place))
        texts.append(item.text)
    totals = Counter(old_totals)
    for _, entry in entries.rows:
        totals[entry.contributor] += entry.value
    rows = tuple(sorted((who, value) for who, value in totals.items() if value))
    return Body(tuple(answers), tuple(texts), tuple(claims), tuple(entries.rows), rows)


def _claims_of(
    item: Answered, answer: int, first: int, entries: _Entries, parameters: Parameters
) -> list[Claim]:
    intervals = owned_intervals([(span.start, span.length) for span in item.spans])
    claims, paid = list[Claim](), 0
    for number, (span, owned) in enumerate(zip(item.spans, intervals, strict=True)):
        own_start, own_end, left_by, right_by = owned
        who = tuple(
            Holder(place.shard, place.position, place.document, place.contributor)
            for place in span.who
        )
        cuts = (own_start, own_end, first + left_by, first + right_by)
        claim = Claim(answer, span.start, span.length, *cuts, span.echo, who)
        amount = claim.amount(item.receipt, parameters)
        paid += amount
        numbers = [
            entries.add(Entry(holder.contributor, answer, first + number, slot, value))
            for slot, (holder, value) in enumerate(zip(who, split(amount, len(who)), strict=True))
        ]
        who = tuple(replace(h, entry=n) for h, n in zip(who, numbers, strict=True))
        claims.append(replace(claim, who=who, paid=paid))
    return claims
