"""All that a contributor earned, payment by payment, with the reason of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from node.why.as_json import hundredths, money
from node.why.library import Library
from node.why.split import NORM2, sigmas_of
from node.why.visible import decoded, whole_characters
from protocol.batch import Body
from protocol.claims import INFLUENCE_SLOT, REMAINDER, Entry
from protocol.features import DIMENSION, norm2
from protocol.signature import Domain

WORDS_BYTES_MAX = 320  # of a span, shown for one payment


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a batch, and the adapter whose corpus can say more about it."""

    entry: Entry
    adapter: bytes
    row: dict[str, Any]


def payments_of(
    body: Body, contributor: int, where: Domain, first: int, count: int
) -> list[Payment]:
    """Payments [first, first + count) of a contributor, in the order of his entries."""
    mine = sorted(
        (number, entry) for number, entry in body.entries if entry.contributor == contributor
    )
    return [_payment(body, entry, where) for _, entry in mine[first : first + count]]


def titled(payment: Payment, library: Library) -> dict[str, Any]:
    """The row with what the corpus knows of its document."""
    row = dict(payment.row)
    if row["kind"] == "influence" and (place := library.place(row["example"])) is not None:
        row["shard"], row["document"] = place
    if "document" in row and row["document"] is not None:
        row["title"] = library.title(row["shard"], row["document"])
    return row


def _payment(body: Body, entry: Entry, where: Domain) -> Payment:
    """A liar's entry may point to no answer: then nothing but its amount is said."""
    row: dict[str, Any] = {"kind": "unexplained", "amount": money(entry.value), "receipt": None}
    if entry.answer >= len(body.answers):
        return Payment(entry, bytes(32), row)
    answer = body.answers[entry.answer]
    row["receipt"] = "0x" + answer.receipt.digest(where).hex()
    for more in _reasons(body, entry):
        row |= more
    return Payment(entry, answer.receipt.adapter, row)


def _reasons(body: Body, entry: Entry) -> Iterator[dict[str, Any]]:
    if entry.claim == REMAINDER:
        yield {"kind": "remainder"}
    elif entry.slot == INFLUENCE_SLOT and entry.claim < len(body.influences):
        yield _influence(body, entry)
    elif entry.claim < len(body.claims) and entry.slot < len(body.claims[entry.claim].who):
        yield _span(body, entry)


def _span(body: Body, entry: Entry) -> dict[str, Any]:
    claim, output = body.claims[entry.claim], body.texts[entry.answer].output
    holder = claim.who[entry.slot]
    end = whole_characters(output, min(claim.end, claim.start + WORDS_BYTES_MAX))
    return {
        "kind": "span",
        "words": decoded(output[whole_characters(output, claim.start) : end]),
        "start": claim.start,
        "length": claim.length,
        "owned_bytes": claim.owned,
        "holders": len(claim.who),
        "shard": holder.shard,
        "document": holder.document,
        "title": None,
    }


def _influence(body: Body, entry: Entry) -> dict[str, Any]:
    one, query = body.influences[entry.claim], body.queries[entry.answer]
    size = norm2(query) if len(query) == DIMENSION else 0
    return {
        "kind": "influence",
        "example": one.example,
        "score": str(one.score),
        "sigmas": hundredths(sigmas_of(one.score, NORM2, size)),
        "shard": None,
        "document": None,
        "title": None,
    }
