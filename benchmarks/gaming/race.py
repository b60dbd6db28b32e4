"""Races between contributors: what is refused, and what the order of a shard decides."""

import random
from dataclasses import replace

from benchmarks.gaming.market import Held, earned, prose, stitched
from benchmarks.gaming.outcome import Outcome
from datanet.build import build_shard
from datanet.fraud import Examined, find_shard_fraud
from datanet.screen import Accepted, Known, Offer, Rejected, Rule, screen
from protocol.datanet import Contribution, domain, terms_of
from protocol.merkle import TEXT, byte_root
from protocol.refute_shards import Duplicate
from protocol.signature import address_of, sign

REGISTRY = domain(1, b"\x11" * 20)
MEDIA, LICENCE = "text/plain", "CC0-1.0"
AUTHOR, COPIER = 1, 2


def secret(who: int) -> bytes:
    return bytes([who]) * 32


PAYOUTS = {who: address_of(secret(who)) for who in (AUTHOR, COPIER)}


def offer(who: int, text: bytes, nonce: int) -> Offer:
    contribution = Contribution(
        1, byte_root(TEXT, text), len(text), terms_of(MEDIA, LICENCE), who, nonce
    )
    return Offer(
        contribution, sign(secret(who), contribution.digest(REGISTRY)), MEDIA, LICENCE, text
    )


def accepted(who: int, text: bytes, nonce: int = 0) -> Accepted:
    return screen(offer(who, text, nonce), REGISTRY, PAYOUTS, {})


def refused(text: bytes) -> Outcome:
    """The very bytes of another, an hour later and with a smaller nonce: screened out."""
    first = accepted(AUTHOR, text, 7)
    known = {first.contribution.content_root: Known(AUTHOR, "pending")}
    try:
        screen(offer(COPIER, text, 0), REGISTRY, PAYOUTS, known)
        through = 1.0
    except Rejected as error:
        through = float(error.rule is not Rule.DUPLICATE)
    return Outcome("the same bytes, offered to an honest curator", through, 1.0, 0.0, "refused")


def convicted(text: bytes) -> Outcome:
    """The same by a curator who takes them: anybody's refutation costs him the bond."""
    built = build_shard([accepted(AUTHOR, text), accepted(COPIER, text)])
    examined = Examined(1, 0, built.text, built.documents)
    found = find_shard_fraud(examined, [], REGISTRY, PAYOUTS)
    through = float(not isinstance(found, Duplicate))
    return Outcome("the same bytes, published by a curator", through, 1.0, 0.0, "slashed")


def _income(texts: list[tuple[int, bytes]], source: bytes, seed: int) -> dict[int, int]:
    built = build_shard([accepted(who, text) for who, text in texts])
    held = [
        Held(row.contributor, built.text[row.start : row.start + row.length])
        for row in built.documents
    ]
    return earned(held, stitched(random.Random(seed), [source], 10))


def races(seed: int = 1) -> list[Outcome]:
    text = prose(random.Random(seed), 4096)
    copy = text[:-1] + b"~"
    alone = _income([(AUTHOR, text)], text, seed)[AUTHOR]
    late = _income([(AUTHOR, text), (COPIER, copy)], text, seed)
    early = _income([(COPIER, copy), (AUTHOR, text)], text, seed)
    note = "of the author's income"
    first = Outcome("a changed copy, accepted after", late[COPIER], alone, 0.0, note)
    second = Outcome("a changed copy, put first by the curator", early[COPIER], alone, 1.0, note)
    return [refused(text), convicted(text), first, replace(second, note=note + ": it pays")]
