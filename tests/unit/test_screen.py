"""A contribution enters a Datanet or is refused by one rule, with its evidence."""

from dataclasses import replace

import pytest

from datanet.build import build_shard
from datanet.screen import Accepted, Known, Offer, Rejected, Rule, screen
from protocol.datanet import Contribution, domain, terms_of
from protocol.merkle import TEXT, byte_root
from protocol.signature import address_of, sign
from protocol.text import canonical

SECRET = b"\x01" * 32
DOMAIN = domain(7, b"\x22" * 20)
PAYOUTS = {0: b"\x99" * 20, 1: address_of(SECRET)}


def offer(data: bytes, *, secret: bytes = SECRET, contributor: int = 1) -> Offer:
    """A signed offer of `data`, honest but for what the arguments say."""
    try:
        text = canonical(data)
    except Exception:
        text = data
    terms = terms_of("text/plain", "CC0-1.0")
    contribution = Contribution(3, byte_root(TEXT, text), len(text), terms, contributor, 5)
    signature = sign(secret, contribution.digest(DOMAIN))
    return Offer(contribution, signature, "text/plain", "CC0-1.0", data)


GOOD = b"a line of text that is long enough\r\nto hold a span, cafe\xcc\x81\n"


def test_accepts_the_canonical_form() -> None:
    accepted = screen(offer(GOOD), DOMAIN, PAYOUTS, {})
    assert accepted.text == "a line of text that is long enough\nto hold a span, café\n".encode()
    assert Accepted.decode(accepted.encode()) == accepted
    shard = build_shard([accepted, replace(accepted, text=accepted.text)])
    assert shard.text == b"\xff" + accepted.text + b"\xff" + accepted.text
    assert shard.documents[1].start == len(accepted.text) + 2


@pytest.mark.parametrize(
    ("wrong", "rule", "evidence"),
    [
        (offer(b"a line that is not UTF-8 \xe9 and long enough"), Rule.ENCODING, "0xe9 at 25"),
        (offer(b"short"), Rule.SIZE, "5 bytes"),
        (offer(bytes(17 << 20)), Rule.SIZE, "limit is 16777216"),
        (replace(offer(GOOD), media_type="image/png"), Rule.FORMAT, "want text/plain"),
        (replace(offer(GOOD), licence="MIT"), Rule.COMMITMENT, "terms"),
        (replace(offer(GOOD), data=GOOD + b"!"), Rule.COMMITMENT, "canonical text has 58"),
        (offer(GOOD, secret=b"\x02" * 32), Rule.SIGNATURE, "want 0x"),
        (replace(offer(GOOD), signature=bytes(65)), Rule.SIGNATURE, "v is 27 or 28"),
        (offer(GOOD, contributor=9), Rule.CONTRIBUTOR, "id 9"),
        (offer(GOOD, contributor=0), Rule.CONTRIBUTOR, "id 0"),
    ],
)
def test_refuses_by_one_rule_with_evidence(wrong: Offer, rule: Rule, evidence: str) -> None:
    with pytest.raises(Rejected, match=evidence) as caught:
        screen(wrong, DOMAIN, PAYOUTS, {})
    assert caught.value.rule is rule


def test_refuses_an_exact_duplicate_and_says_whose_it_is() -> None:
    """Line ends and accents written in another way do not make another text."""
    first = screen(offer(GOOD), DOMAIN, PAYOUTS, {})
    known = {first.contribution.content_root: Known(4, "shard 0, document 2")}
    with pytest.raises(Rejected, match=r"contributor 4 .*shard 0, document 2") as caught:
        screen(offer(canonical(GOOD)), DOMAIN, PAYOUTS, known)
    assert caught.value.rule is Rule.DUPLICATE
