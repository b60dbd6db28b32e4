"""What the claims of an answer say, span by span, and which bytes each of them is paid for."""

from collections.abc import Sequence

from node.why.library import Library
from node.why.values import Piece, Source, SpanWhy
from node.why.visible import decoded, whole_characters
from protocol.claims import Claim, Holder
from protocol.parameters import Parameters


def spans_why(
    claims: Sequence[Claim], first: int, library: Library, parameters: Parameters
) -> tuple[SpanWhy, ...]:
    """The claims of one answer, of which `first` is the number of the first one in its batch.

    Amounts are what the batch says, so those of a liar are a liar's.
    """
    found, before = [], 0
    for number, claim in enumerate(claims, first):
        amount, before = claim.paid - before, claim.paid
        found.append(_span(number, claim, amount, library, parameters))
    return tuple(found)


def pieces_of(output: bytes, spans: Sequence[SpanWhy]) -> tuple[Piece, ...]:
    """The whole answer in order, cut where what a span owns begins or ends.

    Cuts are moved behind the character that they fall into.
    """
    found, at = list[Piece](), 0
    owned = sorted((span.own_start, span.own_end, place) for place, span in enumerate(spans))
    for own_start, own_end, place in owned:
        start, end = (whole_characters(output, cut) for cut in (own_start, own_end))
        start, end = max(at, min(start, len(output))), min(end, len(output))
        if start >= end:
            continue
        if at < start:
            found.append(_piece(output, at, start, None))
        found.append(_piece(output, start, end, place))
        at = end
    if at < len(output):
        found.append(_piece(output, at, len(output), None))
    return tuple(found)


def _span(
    number: int, claim: Claim, amount: int, library: Library, parameters: Parameters
) -> SpanWhy:
    sources = tuple(  # who held it first is paid; the others only say how common it is
        _source(holder, 0 if later else amount, library) for later, holder in enumerate(claim.who)
    )
    return SpanWhy(
        claim=number,
        start=claim.start,
        length=claim.length,
        own_start=claim.own_start,
        own_end=max(claim.own_start, claim.own_end),
        quoted_at=claim.echo - 1 if claim.echo else None,
        weight=parameters.weight(claim.length, len(claim.who)),
        common=len(claim.who) == parameters.holders_max,
        amount=amount,
        sources=sources,
    )


def _source(holder: Holder, amount: int, library: Library) -> Source:
    title = library.title(holder.shard, holder.document)
    place = (holder.shard, holder.document, holder.position)
    return Source(holder.contributor, *place, amount, title)


def _piece(output: bytes, start: int, end: int, span: int | None) -> Piece:
    return Piece(start, end, span, decoded(output[start:end]))
