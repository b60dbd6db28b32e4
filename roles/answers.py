"""Paid answers heard by gossip: checked, kept durably, read by whoever attributes or audits."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.codec import require
from protocol.errors import Malformed
from protocol.ledger import Ledger, RoleBit
from protocol.messages import PaidAnswer
from protocol.receipt import Receipt, domain, overlaps
from protocol.signature import Domain, recover
from roles.ports import Ports

PREFIX = b"answers/"
Voucher = tuple[bytes, bytes, bytes]  # payer, host, adapter


def receipt_domain(ledger: Ledger) -> Domain:
    return domain(ledger.chain_id, ledger.contracts["InferenceEscrow"])


def voucher_of(receipt: Receipt) -> Voucher:
    return (receipt.payer, receipt.host, receipt.adapter)


def check_answer(answer: PaidAnswer, ledger: Ledger) -> bytes:
    """The receipt's digest; `Malformed` unless a registered host signed it for a fee."""
    receipt = answer.receipt
    digest = receipt.digest(receipt_domain(ledger))
    require(recover(digest, answer.signature) == receipt.host, "not signed by its host")
    require(ledger.has_role(receipt.host, RoleBit.HOST), "its host is not registered")
    require(bool(receipt.output_size and receipt.amount), "an empty answer")
    return digest


@dataclass
class Answers:
    """All answers that this node has heard, by the digest of their receipts."""

    by_digest: dict[bytes, PaidAnswer] = field(default_factory=dict)
    by_voucher: dict[Voucher, list[bytes]] = field(default_factory=dict)

    def load(self, ports: Ports) -> None:
        """What was heard before a restart."""
        for key, value in ports.store.scan(PREFIX):
            self._add(key[len(PREFIX) :], PaidAnswer.decode(value))

    async def collect(self, ports: Ports) -> None:
        """Keep every valid paid answer that is gossiped; the others are passed over."""
        inbox = ports.gossip.subscribe(PaidAnswer)
        async for received in inbox:
            answer: PaidAnswer = received.message
            try:
                digest = check_answer(answer, ports.chain.ledger)
            except Malformed:
                continue  # a host not yet confirmed here: its answer comes again by range sync
            if digest not in self.by_digest:
                ports.store.write({PREFIX + digest: answer.encode()}, sync=True)
                self._add(digest, answer)

    def _add(self, digest: bytes, answer: PaidAnswer) -> None:
        if digest in self.by_digest:
            return
        self.by_digest[digest] = answer
        self.by_voucher.setdefault(voucher_of(answer.receipt), []).append(digest)

    def attributable(self, ledger: Ledger) -> Iterator[tuple[bytes, PaidAnswer]]:
        """Those that are paid on chain for a known adapter, in the order of their digests."""
        for voucher, digests in self.by_voucher.items():
            paid = ledger.redeemed.get(voucher, 0)
            if voucher[2] in ledger.adapters:
                for digest in digests:
                    answer = self.by_digest[digest]
                    if answer.receipt.cumulative <= paid:
                        yield digest, answer

    def contradictions(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of receipts by which one host takes one part of a voucher twice."""
        for digests in self.by_voucher.values():
            for at, digest in enumerate(digests):
                for other in digests[:at]:
                    one, two = self.by_digest[digest].receipt, self.by_digest[other].receipt
                    if overlaps(one, two):
                        yield other, digest
