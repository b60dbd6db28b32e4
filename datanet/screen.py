"""Whether a contribution may enter a Datanet; a refusal names its rule, shows its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from protocol.codec import Reader
from protocol.datanet import DOCUMENT_BYTES_MAX, MEDIA_TYPES, Contribution, terms_of
from protocol.errors import Malformed, Refused
from protocol.merkle import TEXT, byte_root
from protocol.signature import SIGNATURE_BYTES, Domain, recover
from protocol.text import SEPARATOR, canonical

LENGTH_MIN = 32  # bytes of canonical text: less can never hold a span


class Rule(StrEnum):
    FORMAT = "format"
    SIZE = "size"
    ENCODING = "encoding"
    COMMITMENT = "commitment"
    CONTRIBUTOR = "contributor"
    SIGNATURE = "signature"
    DUPLICATE = "duplicate"


class Rejected(Refused):
    """A contribution that broke `rule`; the message is the evidence."""

    def __init__(self, rule: Rule, evidence: str) -> None:
        super().__init__(f"{rule}: {evidence}")
        self.rule, self.evidence = rule, evidence


@dataclass(frozen=True, slots=True)
class Offer:
    """What a contributor sends to a curator."""

    contribution: Contribution
    signature: bytes
    media_type: str
    licence: str
    data: bytes  # as the contributor has it; the contribution commits to its canonical form


@dataclass(frozen=True, slots=True)
class Known:
    """Where a text already stands: evidence for a refused duplicate."""

    contributor: int
    where: str  # such as "shard 0, document 3" or "pending"


@dataclass(frozen=True, slots=True)
class Accepted:
    contribution: Contribution
    signature: bytes
    text: bytes  # canonical

    def encode(self) -> bytes:
        """contribution ++ signature[65] ++ text"""
        return self.contribution.encode() + self.signature + self.text

    @classmethod
    def decode(cls, data: bytes) -> Self:
        reader = Reader(data)
        contribution = Contribution.read(reader)
        signature = reader.take(SIGNATURE_BYTES)
        accepted = cls(contribution, signature, reader.take(contribution.length))
        reader.end()
        return accepted


def screen(
    offer: Offer, domain: Domain, payouts: Mapping[int, bytes], known: Mapping[bytes, Known]
) -> Accepted:
    """The accepted contribution, or `Rejected`.

    `payouts` maps contributor ids to the addresses that sign for them, `known` maps content roots
    to where they already stand.
    """
    contribution = offer.contribution
    text = _canonical(offer)
    root = byte_root(TEXT, text)
    if (contribution.length, contribution.content_root) != (len(text), root):
        evidence = f"signed {contribution.length} bytes with root {contribution.content_root.hex()}"
        raise Rejected(
            Rule.COMMITMENT, f"{evidence}, the canonical text has {len(text)}, {root.hex()}"
        )
    if contribution.terms != terms_of(offer.media_type, offer.licence):
        raise Rejected(Rule.COMMITMENT, "the signed terms are not this media type and licence")
    payout = payouts.get(contribution.contributor)
    if not contribution.contributor or payout is None:
        raise Rejected(Rule.CONTRIBUTOR, f"nobody registered id {contribution.contributor}")
    try:
        signer = recover(contribution.digest(domain), offer.signature)
    except Malformed as error:
        raise Rejected(Rule.SIGNATURE, str(error)) from None
    if signer != payout:
        raise Rejected(Rule.SIGNATURE, f"signed by 0x{signer.hex()}, want 0x{payout.hex()}")
    if twin := known.get(root):
        raise Rejected(
            Rule.DUPLICATE,
            f"contributor {twin.contributor} gave the same {len(text)} bytes before ({twin.where}),"
            f" content root {root.hex()}",
        )
    return Accepted(contribution, offer.signature, text)


def _canonical(offer: Offer) -> bytes:
    if offer.media_type not in MEDIA_TYPES:
        raise Rejected(Rule.FORMAT, f"{offer.media_type}, want {' or '.join(MEDIA_TYPES)}")
    if len(offer.data) > DOCUMENT_BYTES_MAX:
        raise Rejected(Rule.SIZE, f"{len(offer.data)} bytes, limit is {DOCUMENT_BYTES_MAX}")
    try:
        text = canonical(offer.data)
    except Malformed as error:
        raise Rejected(Rule.ENCODING, str(error)) from None
    assert SEPARATOR not in text, "UTF-8 has no byte FF"
    if len(text) < LENGTH_MIN:
        raise Rejected(Rule.SIZE, f"{len(text)} bytes of text, at least {LENGTH_MIN} are needed")
    return text
