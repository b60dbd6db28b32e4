"""Paid answers heard by gossip: checked, kept durably, read by whoever attributes or audits."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from protocol.codec import require
from protocol.errors import Malformed
from protocol.ledger import Ledger, RoleBit
from protocol.messages import PaidAnswer
from protocol.receipt import Receipt, domain, overlaps
from protocol.signature import Domain, recover
from roles.ports import Ports

PREFIX = b"answers/"
WAITING_MAX = 1_024  # answers that the chain does not back yet
UNPAID_MAX = 1_000  # answers of one host that were heard and not redeemed
Voucher = tuple[bytes, bytes, bytes]  # payer, host, adapter


def receipt_domain(ledger: Ledger) -> Domain:
    return domain(ledger.chain_id, ledger.contracts["InferenceEscrow"])


def voucher_of(receipt: Receipt) -> Voucher:
    return (receipt.payer, receipt.host, receipt.adapter)


def check_signature(answer: PaidAnswer, ledger: Ledger) -> bytes:
    """The receipt's digest; `Malformed` unless its host signed it for a fee."""
    receipt = answer.receipt
    digest = receipt.digest(receipt_domain(ledger))
    require(recover(digest, answer.signature) == receipt.host, "not signed by its host")
    require(bool(receipt.output_size and receipt.amount), "an empty answer")
    return digest


def backed(receipt: Receipt, ledger: Ledger) -> bool:
    """Whether a registered host can redeem what the receipt says, as far as the chain tells."""
    redeemed = ledger.redeemed.get(voucher_of(receipt), 0)
    deposit = ledger.available(receipt.payer, receipt.host)
    registered = ledger.has_role(receipt.host, RoleBit.HOST)
    return registered and receipt.cumulative <= redeemed + deposit


@dataclass
class Answers:
    """All answers that this node has heard, by the digest of their receipts."""

    by_digest: dict[bytes, PaidAnswer] = field(default_factory=dict)
    by_voucher: dict[Voucher, list[tuple[int, bytes]]] = field(default_factory=dict)
    contradictions: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)  # by host
    _waiting: OrderedDict[bytes, PaidAnswer] = field(default_factory=OrderedDict)

    def load(self, ports: Ports) -> None:
        """What was heard before a restart."""
        for key, value in ports.store.scan(PREFIX):
            self._add(key[len(PREFIX) :], PaidAnswer.decode(value))

    async def collect(self, ports: Ports) -> None:
        """Keep every valid paid answer that is gossiped; what is not backed yet waits in memory."""
        async with ports.gossip.subscribe(PaidAnswer) as inbox:
            async for received in inbox:
                answer: PaidAnswer = received.message
                try:
                    digest = check_signature(answer, ports.chain.ledger)
                except Malformed:
                    continue
                if digest not in self.by_digest:
                    self._waiting[digest] = answer
                    if len(self._waiting) > WAITING_MAX:
                        self._waiting.popitem(last=False)
                    self.admit(ports)

    def admit(self, ports: Ports) -> None:
        """Keep what the chain backs by now; to be called at every head."""
        ledger = ports.chain.ledger
        for digest, answer in list(self._waiting.items()):
            if digest in self.by_digest:
                del self._waiting[digest]
            elif backed(answer.receipt, ledger) and self._room(answer.receipt, ledger):
                ports.store.write({PREFIX + digest: answer.encode()}, sync=True)
                self._add(digest, answer)
                del self._waiting[digest]

    def _room(self, receipt: Receipt, ledger: Ledger) -> bool:
        unpaid = 0
        for voucher, rows in self.by_voucher.items():
            if voucher[1] == receipt.host:
                paid = ledger.redeemed.get(voucher, 0)
                for _, digest in reversed(rows):  # the newest parts of a voucher are paid last
                    if self.by_digest[digest].receipt.cumulative <= paid:
                        break
                    unpaid += 1
        return unpaid < UNPAID_MAX

    def _add(self, digest: bytes, answer: PaidAnswer) -> None:
        if digest in self.by_digest:
            return
        self.by_digest[digest] = answer
        receipt = answer.receipt
        rows = self.by_voucher.setdefault(voucher_of(receipt), [])
        row = (receipt.cumulative - receipt.amount, digest)
        at = bisect_left(rows, row)
        rows.insert(at, row)
        for _, other in rows[max(0, at - 1) : at + 2]:
            if other != digest and overlaps(receipt, self.by_digest[other].receipt):
                self.contradictions.setdefault(receipt.host, (other, digest))

    def attributable(
        self, ledger: Ledger, done: Callable[[Voucher], int] = lambda voucher: 0
    ) -> Iterator[tuple[bytes, PaidAnswer]]:
        """Those that are paid on chain for a known adapter, in the order of their vouchers.

        `done`: wei of a voucher below which nothing is looked for.
        """
        for voucher, rows in self.by_voucher.items():
            paid = ledger.redeemed.get(voucher, 0)
            if voucher[2] in ledger.adapters:
                for _, digest in rows[bisect_left(rows, (done(voucher), b"")) :]:
                    answer = self.by_digest[digest]
                    if answer.receipt.cumulative <= paid:
                        yield digest, answer
