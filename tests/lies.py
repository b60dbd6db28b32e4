"""Every way to lie in a batch, each told by an otherwise careful liar."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from attribution.claims import Answered
from attribution.corpus import Place
from attribution.spans import Span
from protocol.batch import Body
from protocol.claims import Claim, Entry, Holder
from protocol.court import Kind
from protocol.parameters import OPEN
from protocol.signature import sign
from tests.courtroom import RULES, World, secret
from tests.lies_influence import INFLUENCES, LISTS

Draw = st.DrawFn
Lie = Callable[[Draw, World, list[Answered]], Body]


# ---------------------------------------------------------------- lies about spans: all sums agree


def _respan(draw: Draw, world: World, told: list[Answered], change: Callable[[Span], Any]) -> Body:
    """One span of one answer replaced by what `change` makes of it, or dropped for None."""
    places = [(a, s) for a, item in enumerate(told) for s in range(len(item.spans))]
    assume(places)
    answer, number = draw(st.sampled_from(places))
    spans = list(told[answer].spans)
    changed = change(spans[number])
    spans[number : number + 1] = [changed] if changed else []
    told[answer] = replace(told[answer], spans=tuple(spans))
    body = world.body(told)
    # Spans that take more than there is leave a remainder that cannot be written down.
    assume(all(entry.value >= 0 for _, entry in body.entries))
    return body


def shorter(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        assume(span.length > RULES.span_min)
        return replace(span, length=draw(st.integers(RULES.span_min, span.length - 1)))

    return _respan(draw, world, told, change)


def elsewhere(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        first = span.who[0]
        moved = draw(st.integers(0, 640).filter(lambda at: at != first.position))
        return replace(span, who=(replace(first, position=moved), *span.who[1:]))

    return _respan(draw, world, told, change)


def longer(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        assume(span.length < RULES.span_max)
        return replace(span, length=draw(st.integers(span.length + 1, RULES.span_max)))

    return _respan(draw, world, told, change)


def first_holder_dropped(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        assume(len(span.who) > 1)
        return replace(span, who=span.who[1:])

    return _respan(draw, world, told, change)


def last_holder_dropped(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        assume(len(span.who) > 1)
        return replace(span, who=span.who[:-1])

    return _respan(draw, world, told, change)


def another_contributor(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        place = draw(st.integers(0, len(span.who) - 1))
        who = list(span.who)
        names = {place.contributor for place in who}
        who[place] = replace(
            who[place], contributor=draw(st.integers(1, 9).filter(lambda n: n not in names))
        )
        return replace(span, who=tuple(who))

    return _respan(draw, world, told, change)


def another_document(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        first: Place = span.who[0]
        row = draw(st.integers(0, 9).filter(lambda n: n != first.document))
        return replace(span, who=(replace(first, document=row), *span.who[1:]))

    return _respan(draw, world, told, change)


def omitted(draw: Draw, world: World, told: list[Answered]) -> Body:
    return _respan(draw, world, told, lambda span: None)


def echo_hidden(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        assume(span.echo)
        return replace(span, echo=0)

    return _respan(draw, world, told, change)


def echo_invented(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(span: Span) -> Span:
        return replace(span, echo=draw(st.integers(1, 99).filter(lambda at: at != span.echo)))

    return _respan(draw, world, told, change)


# ---------------------------------------------------------------- lies about numbers


def _reclaim(draw: Draw, body: Body, change: Callable[[Claim, int], Claim]) -> Body:
    assume(body.claims)
    number = draw(st.integers(0, len(body.claims) - 1))
    claims = list(body.claims)
    claims[number] = change(claims[number], number)
    assume(claims[number] != body.claims[number])
    return replace(body, claims=tuple(claims))


def any_number_of_a_claim(draw: Draw, world: World, told: list[Answered]) -> Body:
    names = ("answer", "start", "length", "own_start", "own_end", "left_by", "right_by", "echo")

    def change(claim: Claim, number: int) -> Claim:
        name = draw(st.sampled_from([*names, "covered", "paid"]))
        near = st.integers(-3, 3).map(lambda n: max(0, getattr(claim, name) + n))
        return replace(claim, **{name: draw(near | st.integers(0, 2**32 - 1))})

    return _reclaim(draw, world.body(told), change)


def any_number_of_a_holder(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(claim: Claim, number: int) -> Claim:
        name = draw(st.sampled_from(Holder.__slots__))
        slot, who = draw(st.integers(0, len(claim.who) - 1)), list(claim.who)
        near = st.integers(-3, 3).map(lambda n: max(0, getattr(who[slot], name) + n))
        who[slot] = replace(who[slot], **{name: draw(near | st.integers(0, 2**32 - 1))})
        return replace(claim, who=tuple(who))

    return _reclaim(draw, world.body(told), change)


def holders_swapped(draw: Draw, world: World, told: list[Answered]) -> Body:
    def change(claim: Claim, number: int) -> Claim:
        return replace(claim, who=claim.who[::-1])

    return _reclaim(draw, world.body(told), change)


def claims_swapped(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    assume(len(body.claims) > 1)
    at = draw(st.integers(0, len(body.claims) - 2))
    claims = list(body.claims)
    claims[at : at + 2] = claims[at + 1], claims[at]
    return replace(body, claims=tuple(claims))


def any_number_of_an_answer(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    number = draw(st.integers(0, len(body.answers) - 1))
    claims, influences = ["first_claim", "claim_count"], ["first_influence", "influence_count"]
    sums = ["remainder_entry", "covered", "score_total"]
    name = draw(st.sampled_from([*claims, *influences, *sums]))
    answers = list(body.answers)
    old = getattr(answers[number], name)
    new = draw(st.integers(max(0, old - 2), old + 2).filter(lambda n: n != old))
    answers[number] = replace(answers[number], **{name: new})
    return replace(body, answers=tuple(answers))


def answers_swapped(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    assume(len(body.answers) > 1)
    texts, queries = body.texts[::-1], body.queries[::-1]
    return replace(body, answers=body.answers[::-1], texts=texts, queries=queries)


def _reentered(body: Body, rows: list[tuple[int, Entry]]) -> Body:
    places = [(entry.contributor, number) for number, entry in rows]
    assume(len(set(places)) == len(places))
    return replace(body, entries=tuple(rows))


def entry_dropped(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    rows = list(body.entries)
    assume(rows)
    rows.pop(draw(st.integers(0, len(rows) - 1)))
    return _reentered(body, rows)


def any_number_of_an_entry(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    rows = list(body.entries)
    assume(rows)
    at = draw(st.integers(0, len(rows) - 1))
    number, entry = rows[at]
    name = draw(st.sampled_from(["contributor", "answer", "claim", "slot", "value", "number"]))
    if name == "number":
        rows[at] = (number + draw(st.integers(1, 3)), entry)
    else:
        old = getattr(entry, name)
        low, top = max(0, old - 2), min(old + 2, 2**32 - 1) if name != "value" else old + 2
        rows[at] = (
            number,
            replace(entry, **{name: draw(st.integers(low, top).filter(lambda n: n != old))}),
        )
    return _reentered(body, rows)


def entry_invented(draw: Draw, world: World, told: list[Answered]) -> Body:
    body = world.body(told)
    value = draw(st.integers(0, OPEN))
    where = (draw(st.integers(0, 7)), draw(st.integers(0, 3)), draw(st.integers(0, 9)))
    entry = Entry(*where, draw(st.integers(0, 5)), value)
    return _reentered(body, [*body.entries, (draw(st.integers(0, 9)), entry)])


def total_stolen(draw: Draw, world: World, told: list[Answered]) -> Body:
    """Somebody's reward is booked for another; the sum stays."""
    body = world.body(told)
    totals = dict(body.totals)
    victim = draw(st.sampled_from(sorted(totals)))
    thief = draw(st.integers(0, 9).filter(lambda n: n != victim))
    loot = draw(st.integers(1, totals[victim]))
    totals[victim] -= loot
    totals[thief] = totals.get(thief, 0) + loot
    return replace(body, totals=tuple(sorted((k, v) for k, v in totals.items() if v)))


# ---------------------------------------------------------------- lies about receipts


def _rereceipt(draw: Draw, world: World, told: list[Answered], **changes: Any) -> Body:
    at = draw(st.integers(0, len(told) - 1))
    receipt = replace(told[at].receipt, **changes)
    told[at] = replace(told[at], receipt=receipt, signature=world.signed(receipt))
    return world.body(told)


def forged(draw: Draw, world: World, told: list[Answered]) -> Body:
    at = draw(st.integers(0, len(told) - 1))
    kind = draw(st.integers(0, 2))
    item = told[at]
    if kind == 0:
        signature = sign(secret("another"), item.receipt.digest(world.escrow))
    elif kind == 1:
        signature = bytes(64) + b"\x1b"
    else:
        signature = b"\xff" * 32 + item.signature[32:]
    told[at] = replace(item, signature=signature)
    return world.body(told)


def unfunded(draw: Draw, world: World, told: list[Answered]) -> Body:
    return _rereceipt(draw, world, told, cumulative=2**100, amount=draw(st.integers(1, OPEN)))


def free(draw: Draw, world: World, told: list[Answered]) -> Body:
    return _rereceipt(draw, world, told, amount=0)


def unknown_adapter(draw: Draw, world: World, told: list[Answered]) -> Body:
    at = draw(st.integers(0, len(told) - 1))
    receipt = replace(told[at].receipt, adapter=b"\x0a" * 32)
    told[at] = Answered(receipt, world.signed(receipt), told[at].text, ())
    return world.body(told)


def repeated(draw: Draw, world: World, told: list[Answered]) -> Body:
    """The money of an answer pays another one, of this batch or of a final one."""
    paid = draw(st.sampled_from([item.receipt for item in told]))
    final = [a.receipt for case in world.final.values() for a in case.body.answers]
    old = draw(st.sampled_from([paid, *final]))
    more = world.answered([(told[0].text, old.amount)], old.cumulative - old.amount)[0]
    receipt = replace(more.receipt, nonce=9)
    return world.body([*told, replace(more, receipt=receipt, signature=world.signed(receipt))])


SPANS = (
    *(shorter, elsewhere, longer, first_holder_dropped, last_holder_dropped),
    *(another_contributor, another_document, omitted, echo_hidden, echo_invented),
)
NUMBERS = (
    *(any_number_of_a_claim, any_number_of_a_holder, holders_swapped, claims_swapped),
    *(any_number_of_an_answer, answers_swapped, entry_dropped, any_number_of_an_entry),
    *(entry_invented, total_stolen),
)
RECEIPTS = (forged, unfunded, free, unknown_adapter, repeated)
LIES: tuple[Lie, ...] = (*SPANS, *NUMBERS, *RECEIPTS, *INFLUENCES)
# What a careful liar is convicted of; the others may break several rules.
KINDS: dict[Lie, set[Kind]] = {
    shorter: {Kind.LONGER, Kind.ARITHMETIC, Kind.OMITTED},
    first_holder_dropped: {Kind.EARLIER},
    last_holder_dropped: {Kind.EARLIER},
    another_contributor: {Kind.CONTRIBUTOR},
    another_document: {Kind.CONTRIBUTOR},
    omitted: {Kind.OMITTED},
    echo_hidden: {Kind.ECHO},
    **{lie: {Kind.ARITHMETIC} for lie in (answers_swapped, total_stolen)},
    **{lie: {Kind.RECEIPT} for lie in RECEIPTS},
    **{lie: {Kind.INFLUENCE} for lie in LISTS},
}
