"""Finds the answer that a receipt names, and explains it."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus
from attribution.spans import spans_of
from node.why.as_json import explained_json, named
from node.why.explain import Known, explain
from node.why.held import Held
from node.why.shelf import Place
from node.why.standing import standing_of, unattributed
from node.why.values import Explanation
from protocol.batch import Body
from protocol.errors import Malformed, Refused
from protocol.ledger import Status
from protocol.messages import PaidAnswer
from protocol.parameters import Parameters
from roles.ports import Ports

DIGEST_HEX: Final = 64
PREFIX_MIN: Final = 4  # hex digits, where a receipt is named by the beginning of its digest
KEPT_MAX: Final = 128  # explanations: an answer and its texts have at most 48 KiB
STANDING: Final = (Status.PENDING, Status.FINAL)
_NAME: Final = re.compile(rf"(?:0x)?([0-9a-fA-F]{{{PREFIX_MIN},{DIGEST_HEX}}})", re.ASCII)


class NotFound(Refused):
    """No such receipt here; the message says what this node lacks."""


class Ambiguous(Refused):
    """Several receipts begin so."""


@dataclass
class Asking:
    """Explanations of one node; what was explained once is kept, a few of them."""

    held: Held
    _kept: OrderedDict[object, Explanation] = field(default_factory=OrderedDict)

    async def why(self, ports: Ports, name: str) -> dict[str, Any]:
        """The explanation of the receipt whose digest begins with `name`, as docs/why.md has it.

        Raises `Malformed`, `NotFound`, `Ambiguous`, and `Temporary` where nothing but the
        batch's body could tell.
        """
        await self.held.shelf.freshen(ports)
        digest = self._digest(ports, name)
        places = self.held.shelf.places(ports, digest)
        answer = self.held.answers.by_digest.get(digest)
        if places and (answer is None or places[0].batch.status in STANDING):
            standing = standing_of(places[0], self.held.postings, ports.chain.ledger)
            explained = await self._attributed(ports, digest, places[0])
        else:
            assert answer is not None
            refused = [place.batch for place in places]
            standing = unattributed(answer, ports.chain.ledger, refused)
            explained = await self._previewed(ports, digest, answer)
        payouts = ports.chain.ledger.payouts
        known = named(explained) & payouts.keys()
        return explained_json(
            explained, standing, {who: "0x" + payouts[who].hex() for who in known}
        )

    def _digest(self, ports: Ports, name: str) -> bytes:
        match = _NAME.fullmatch(name)
        if match is None:
            raise Malformed(
                f"a receipt is named by its digest in hex, or the first {PREFIX_MIN} digits or "
                "more of it"
            )
        prefix = match[1].lower()
        found = set(self.held.shelf.digests(ports, prefix))
        heard = self.held.answers.by_digest
        if len(prefix) == DIGEST_HEX:
            found |= heard.keys() & {bytes.fromhex(prefix)}
        else:
            found |= {digest for digest in heard if digest.hex().startswith(prefix)}
        if len(found) > 1:
            some = " and ".join(f"{digest.hex()[:16]}…" for digest in sorted(found)[:2])
            raise Ambiguous(f"{prefix} is the beginning of {some}: give more digits")
        if not found:
            lacking = "".join(f"; {told}" for told in self.held.shelf.told_missing(ports))
            raise NotFound(f"this node has not heard of a receipt {prefix}{lacking}")
        return found.pop()

    async def _attributed(self, ports: Ports, digest: bytes, place: Place) -> Explanation:
        batch = place.batch
        ledger, version = ports.chain.ledger, batch.version
        key = (batch.header.data_root, place.number, len(ledger.takedowns))
        if (kept := self._reuse(key)) is not None:
            return kept
        body = await self.held.shelf.body(ports, batch)
        rules = ledger.parameters[version]
        adapter = body.answers[place.number].receipt.adapter
        known = await self.held.known(ports, adapter, batch.header.as_of, rules)
        made = await ports.compute(explain, body, place.number, digest, version, rules, known)
        return self._keep(key, made, known)

    async def _previewed(self, ports: Ports, digest: bytes, answer: PaidAnswer) -> Explanation:
        """By today's rules, as if it were attributed now; without influences."""
        ledger = ports.chain.ledger
        version, rules = ledger.current_version, ledger.current
        key = (digest, version, len(ledger.takedowns))
        if (kept := self._reuse(key)) is not None:
            return kept
        known = await self.held.known(ports, answer.receipt.adapter, ledger.time, rules)
        known = replace(known, features=None, attributed=False)
        corpus = cast("Corpus | None", known.corpus)
        body = await ports.compute(_preview, answer, digest, corpus, rules)
        made = await ports.compute(explain, body, 0, digest, version, rules, known)
        return self._keep(key, made, known)

    def _reuse(self, key: object) -> Explanation | None:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def _keep(self, key: object, made: Explanation, known: Known) -> Explanation:
        """What something is missing of may be explained better later."""
        if not known.missing:
            self._kept[key] = made
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return made


def _preview(answer: PaidAnswer, digest: bytes, corpus: Corpus | None, rules: Parameters) -> Body:
    """A batch of this one answer."""
    text = answer.text
    spans = () if corpus is None else tuple(spans_of(corpus, text.prompt, text.output, rules))
    item = Answered(answer.receipt, answer.signature, text, spans)
    return build_body([item], [digest], {}, rules)
