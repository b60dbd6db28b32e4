"""Every way in which a prover can lie about an answer: for the demonstration and for the tests.

A lie changes one thing and recomputes all that follows from it, so that nothing else gives it away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from attribution.claims import Answered, build_body
from attribution.influence.scores import Scored
from attribution.spans import Span
from protocol.batch import Body
from protocol.claims import Entry
from protocol.court import Kind
from protocol.ledger import Ledger, Status
from protocol.parameters import Parameters


class NoOccasion(Exception):
    """These answers offer no occasion for this kind of lie."""


@dataclass(frozen=True)
class Liar:
    """A composer of batches, in the place of `attribution.claims.build_body`."""

    kind: str
    random: Random
    accomplice: int  # the contributor id that the liar wants to be paid

    def __call__(
        self,
        answered: Sequence[Answered],
        digests: Sequence[bytes],
        old_totals: Mapping[int, int],
        parameters: Parameters,
    ) -> Body:
        """A body with one lie of this kind, or `NoOccasion`."""
        honest = build_body(answered, digests, old_totals, parameters)
        if self.kind == "arithmetic":
            return self._arithmetic(honest)
        for number in self.random.sample(range(len(answered)), len(answered)):
            changed = self._changed(answered[number], parameters)
            if changed is not None:
                lying = [*answered[:number], changed, *answered[number + 1 :]]
                body = build_body(lying, digests, old_totals, parameters)
                if body != honest:  # of an answer that spans cover nothing else is paid
                    return body
        raise NoOccasion(f"no answer offers an occasion for {self.kind!r}")

    def _changed(self, item: Answered, parameters: Parameters) -> Answered | None:
        if self.kind == "influence":
            listed = list(item.influences)
            told = self.random.choice(INFLUENCE_LIES)(self, listed) if listed else None
            return None if told is None else replace(item, influences=tuple(told))
        spans = SPAN_LIES[self.kind](self, item, parameters)
        return None if spans is None else replace(item, spans=tuple(spans))

    def _arithmetic(self, body: Body) -> Body:
        """Give the accomplice what is due to another contributor of the batch."""
        due = [at for at, (_, entry) in enumerate(body.entries) if entry.claim != 0xFFFFFFFF]
        if not due:
            raise NoOccasion("nobody earned anything")
        at = self.random.choice(due)
        number, entry = body.entries[at]
        taken = min(entry.value, 1 + self.random.randrange(entry.value))
        entries = list(body.entries)
        free = max((n for n, e in entries if e.contributor == self.accomplice), default=-1) + 1
        entries[at] = (number, replace(entry, value=entry.value - taken))
        entries.append((free, Entry(self.accomplice, entry.answer, entry.claim, entry.slot, taken)))
        totals = dict(body.totals)
        totals[entry.contributor] -= taken
        totals[self.accomplice] = totals.get(self.accomplice, 0) + taken
        rows = tuple(sorted((who, value) for who, value in totals.items() if value))
        kept = tuple(row for row in entries if row[1].value)
        return replace(body, entries=kept, totals=rows)


def _change(spans: list[Span], at: int, **fields: object) -> list[Span]:
    return [*spans[:at], replace(spans[at], **fields), *spans[at + 1 :]]  # type: ignore[arg-type]


def _some(liar: Liar, places: Sequence[int]) -> int | None:
    return liar.random.choice(places) if places else None


def _mismatch(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    """Say that the span stands one byte further on than it does."""
    spans = list(item.spans)
    at = _some(liar, [j for j, span in enumerate(spans) if span.who])
    if at is None:
        return None
    first = spans[at].who[0]
    moved = replace(first, position=first.position + 1)
    return _change(spans, at, who=(moved, *spans[at].who[1:]))


def _longer(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    """Cut a span short, which turns what it owned over to others."""
    spans = list(item.spans)

    def may_shrink(j: int) -> bool:
        reach = spans[j - 1].start + spans[j - 1].length if j else 0
        shorter = spans[j].length - 1
        return shorter >= parameters.span_min and spans[j].start + shorter > reach

    at = _some(liar, [j for j in range(len(spans)) if may_shrink(j)])
    return None if at is None else _change(spans, at, length=spans[at].length - 1)


def _earlier(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    """Leave out the contributor who had the span first."""
    spans = list(item.spans)
    at = _some(liar, [j for j, span in enumerate(spans) if len(span.who) > 1])
    return None if at is None else _change(spans, at, who=spans[at].who[1:])


def _omitted(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    spans = list(item.spans)
    at = _some(liar, range(len(spans)))
    return None if at is None else spans[:at] + spans[at + 1 :]


def _contributor(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    """Say that the accomplice wrote the document."""
    spans = list(item.spans)

    def innocent(span: Span) -> bool:
        return liar.accomplice not in {place.contributor for place in span.who}

    at = _some(liar, [j for j, span in enumerate(spans) if innocent(span)])
    if at is None:
        return None
    stolen = replace(spans[at].who[0], contributor=liar.accomplice)
    return _change(spans, at, who=(stolen, *spans[at].who[1:]))


def _echo(liar: Liar, item: Answered, parameters: Parameters) -> list[Span] | None:
    """Pay for a span that the asker quoted, or call one quoted that he did not quote."""
    spans = list(item.spans)
    at = _some(liar, [j for j, span in enumerate(spans) if span.echo])
    if at is not None:
        return _change(spans, at, echo=0)
    room = len(item.text.prompt)
    at = _some(liar, [j for j, span in enumerate(spans) if span.length <= room])
    return None if at is None else _change(spans, at, echo=1)


def _forgotten(liar: Liar, listed: list[Scored]) -> list[Scored] | None:
    """Leave out the example that moved the answer most."""
    return listed[1:]


def _louder(liar: Liar, listed: list[Scored]) -> list[Scored] | None:
    """Say that its score is higher than the features give."""
    return [replace(listed[0], score=listed[0].score + 1 + liar.random.randrange(99)), *listed[1:]]


def _stolen(liar: Liar, listed: list[Scored]) -> list[Scored] | None:
    """Say that the accomplice gave it."""
    if listed[0].contributor == liar.accomplice:
        return None
    return [replace(listed[0], contributor=liar.accomplice), *listed[1:]]


INFLUENCE_LIES = (_forgotten, _louder, _stolen)
SPAN_LIES: dict[str, Callable[[Liar, Answered, Parameters], list[Span] | None]] = {
    "mismatch": _mismatch,
    "longer": _longer,
    "earlier": _earlier,
    "omitted": _omitted,
    "contributor": _contributor,
    "echo": _echo,
}
KINDS = (*SPAN_LIES, "arithmetic")
ALL_KINDS = (*KINDS, "influence")  # the last only where the adapter has features in force


def lies_left(ledger: Ledger) -> list[str]:
    """The kinds of lie that no batch was convicted of yet, in order."""
    batches = ledger.batches.values()
    seen = {
        Kind(batch.convicted_of).name.lower() for batch in batches if batch.status is Status.SLASHED
    }
    return [kind for kind in ALL_KINDS if kind not in seen]
