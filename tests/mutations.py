"""One thing changed in an otherwise honest body: every field of every leaf, every leaf's place."""

from collections.abc import Callable
from dataclasses import fields, replace
from random import Random
from typing import Any

from attribution.claims import Answered
from attribution.spans import Span
from protocol.batch import Body
from protocol.claims import REMAINDER, Claim, Entry, Holder
from protocol.features import DIMENSION
from protocol.influences import Influence, query_hash
from protocol.sumtree import ENTRY_BITS, ID_BITS
from tests.courtroom import World

BITS = {  # of the fields that have not 32
    "position": 64,
    "score": 64,
    "score_sum": 64,
    "score_total": 64,
    "seed": 64,
    "nonce": 64,
    "deadline": 64,
    "fingerprint": 8,
    "slot": 8,
    "paid": 128,
    "value": 128,
    "amount": 128,
    "cumulative": 128,
}
Mutation = Callable[[Random, World, Body], Body | None]


def _number(rng: Random, old: int, bits: int) -> int:
    """Another number of so many bits: near the old one, an edge, or any."""
    top = (1 << bits) - 1
    kind = rng.randrange(4)
    if kind == 0:
        return min(top, max(0, old + rng.choice([-2, -1, 1, 2])))
    if kind == 1:
        return rng.choice([0, 1, top, top - 1, REMAINDER & top, old ^ 1 << rng.randrange(bits)])
    return rng.randrange(top + 1) if kind == 2 else max(0, old - 1)


def _changed(rng: Random, leaf: Any, names: list[str]) -> Any:
    name = rng.choice(names)
    old = getattr(leaf, name)
    if isinstance(old, bytes):
        at = rng.randrange(len(old))
        new: Any = old[:at] + bytes([old[at] ^ 1 << rng.randrange(8)]) + old[at + 1 :]
    else:
        new = _number(rng, old, BITS.get(name, 32))
    return replace(leaf, **{name: new})


def _names(kind: type, *without: str) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in without]


def _one(rng: Random, rows: tuple[Any, ...], change: Callable[[Any], Any]) -> tuple[Any, ...]:
    at = rng.randrange(len(rows))
    return (*rows[:at], change(rows[at]), *rows[at + 1 :])


# ---------------------------------------------------------------- fields


def claim_field(rng: Random, world: World, body: Body) -> Body | None:
    if not body.claims:
        return None
    names = _names(Claim, "who")
    claims = _one(rng, body.claims, lambda claim: _changed(rng, claim, names))
    return replace(body, claims=claims)


def holder_field(rng: Random, world: World, body: Body) -> Body | None:
    if not body.claims:
        return None

    def change(claim: Claim) -> Claim:
        who = _one(rng, claim.who, lambda holder: _changed(rng, holder, _names(Holder)))
        return replace(claim, who=who)

    return replace(body, claims=_one(rng, body.claims, change))


def holder_place(rng: Random, world: World, body: Body) -> Body | None:
    """A holder more, fewer, twice, or two in each other's place."""
    if not body.claims:
        return None

    def change(claim: Claim) -> Claim:
        who = _moved(rng, claim.who)
        more = Holder(*(rng.randrange(3) for _ in range(5)))
        return replace(claim, who=who[:4] if rng.randrange(4) else (*claim.who, more)[:4])

    return replace(body, claims=_one(rng, body.claims, change))


def influence_field(rng: Random, world: World, body: Body) -> Body | None:
    if not body.influences:
        return None
    names = _names(Influence)
    return replace(
        body, influences=_one(rng, body.influences, lambda one: _changed(rng, one, names))
    )


def answer_field(rng: Random, world: World, body: Body) -> Body | None:
    names = ["first_claim", "claim_count", "first_influence", "influence_count"]
    names += ["remainder_entry", "covered", "score_total"]
    return replace(body, answers=_one(rng, body.answers, lambda one: _changed(rng, one, names)))


def answer_signature(rng: Random, world: World, body: Body) -> Body | None:
    """One bit of r, s or v."""
    at, bit = rng.randrange(65), 1 << rng.randrange(8)

    def change(answer: Any) -> Any:
        old = answer.signature
        new = bytes([55 - old[64]]) if at == 64 else bytes([old[at] ^ bit])
        if at == 32 and new[0] >= 0x80:
            return answer  # no such signature can be written down
        return replace(answer, signature=old[:at] + new + old[at + 1 :])

    return replace(body, answers=_one(rng, body.answers, change))


def receipt_field(rng: Random, world: World, body: Body) -> Body | None:
    """A field of a receipt, signed by the host or not."""
    at, signed = rng.randrange(len(body.answers)), rng.randrange(2)
    old = body.answers[at]
    # Prompt and output stay: a body whose texts are not its receipts' is no pre-image of them.
    fixed = ("prompt_root", "prompt_size", "output_root", "output_size")
    receipt = _changed(rng, old.receipt, _names(type(old.receipt), *fixed))
    signature = world.signed(receipt) if signed else old.signature
    answers = list(body.answers)
    answers[at] = replace(old, receipt=receipt, signature=signature)
    return replace(body, answers=tuple(answers))


def query(rng: Random, world: World, body: Body) -> Body | None:
    """Another query than the list was made for, none, or one that is no feature."""
    at = rng.randrange(len(body.answers))
    old = body.queries[at]
    flipped = rng.randrange(DIMENSION)
    new = rng.choice(
        [
            b"",
            bytes([32]) * DIMENSION,
            old[:-1],
            old[flipped:] + old[:flipped],
            bytes(DIMENSION),
            rng.randbytes(DIMENSION),
            *(row.phi for row in world.rows),
        ]
    )
    queries, answers = list(body.queries), list(body.answers)
    queries[at], answers[at] = new, replace(answers[at], query=query_hash(new))
    return replace(body, queries=tuple(queries), answers=tuple(answers))


def entry_field(rng: Random, world: World, body: Body) -> Body | None:
    if not body.entries:
        return None
    rows = list(body.entries)
    at = rng.randrange(len(rows))
    number, entry = rows[at]
    name = rng.choice(["number", *_names(Entry)])
    if name == "number":
        rows[at] = (_number(rng, number, ENTRY_BITS), entry)
    else:
        bits = ID_BITS if name == "contributor" else BITS.get(name, 32)
        rows[at] = (number, replace(entry, **{name: _number(rng, getattr(entry, name), bits)}))
    return replace(body, entries=tuple(rows))


def total_field(rng: Random, world: World, body: Body) -> Body | None:
    rows = dict(body.totals)
    if not rows:
        return None
    who = rng.choice(sorted(rows))
    if rng.randrange(3):
        rows[who] = _number(rng, rows[who], 100)
    else:
        rows[rng.randrange(9)] = rows.pop(who)
    return replace(body, totals=tuple(sorted((k, v) for k, v in rows.items() if v)))


# ---------------------------------------------------------------- places


def _moved(rng: Random, rows: tuple[Any, ...]) -> tuple[Any, ...]:
    """One leaf missing, doubled, elsewhere, or in another's place."""
    if not rows:
        return rows
    at, other, kind = rng.randrange(len(rows)), rng.randrange(len(rows)), rng.randrange(4)
    left = list(rows)
    if kind == 0:
        left.pop(at)
    elif kind == 1:
        left.insert(other, rows[at])
    elif kind == 2:
        left.insert(other, left.pop(at))
    else:
        left[at], left[other] = left[other], left[at]
    return tuple(left)


def claim_place(rng: Random, world: World, body: Body) -> Body | None:
    return replace(body, claims=_moved(rng, body.claims))


def influence_place(rng: Random, world: World, body: Body) -> Body | None:
    return replace(body, influences=_moved(rng, body.influences))


def entry_place(rng: Random, world: World, body: Body) -> Body | None:
    """An entry missing, doubled under another number, or two that trade numbers."""
    rows = list(body.entries)
    if not rows:
        return None
    at, other, kind = rng.randrange(len(rows)), rng.randrange(len(rows)), rng.randrange(3)
    if kind == 0:
        rows.pop(at)
    elif kind == 1:
        rows.append((rng.randrange(9), rows[at][1]))
    else:
        rows[at], rows[other] = (rows[at][0], rows[other][1]), (rows[other][0], rows[at][1])
    return replace(body, entries=tuple(rows))


def answer_place(rng: Random, world: World, body: Body) -> Body | None:
    places = _moved(rng, tuple(range(len(body.answers))))
    if not places:
        return None
    answers, texts, queries = (
        tuple(rows[at] for at in places) for rows in (body.answers, body.texts, body.queries)
    )
    return replace(body, answers=answers, texts=texts, queries=queries)


# ---------------------------------------------------------------- lists, all sums agreeing


def retold(rng: Random, world: World, told: list[Answered]) -> tuple[Body, str]:
    """A careful liar: spans or influences missing, doubled or moved, and the rest made to fit."""
    at = rng.randrange(len(told))
    item = told[at]
    if item.influences and rng.randrange(2):
        name, changed = "influences retold", replace(item, influences=_moved(rng, item.influences))
    else:
        name, changed = "spans retold", replace(item, spans=_respanned(rng, item.spans))
    return world.body([*told[:at], changed, *told[at + 1 :]]), name


def _respanned(rng: Random, spans: tuple[Span, ...]) -> tuple[Span, ...]:
    if not spans:
        return spans
    at, kind = rng.randrange(len(spans)), rng.randrange(4)
    span, left = spans[at], list(spans)
    if kind == 0:
        left.pop(at)
    elif kind == 1:
        left[at] = replace(span, length=max(1, span.length - rng.randrange(1, 9)))
    elif kind == 2:
        left[at] = replace(span, who=_moved(rng, span.who)[:4] or span.who)
    else:
        left[at] = replace(span, echo=rng.choice([0, 1, span.echo + 1]))
    return tuple(left)


MUTATIONS: tuple[Mutation, ...] = (
    *(claim_field, holder_field, holder_place, influence_field, answer_field, answer_signature),
    *(receipt_field, query, entry_field, total_field),
    *(claim_place, influence_place, entry_place, answer_place),
)
